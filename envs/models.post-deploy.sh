# Installs, after models.txt or models.yaml, packages without their own requirements, because those would bring in
# unneeded packages and another build of torch. Called by the Makefile and by Snakemake (--sdm conda), with the
# environment's python first in PATH.
set -e
python -m pip install --quiet --disable-pip-version-check --no-deps \
    audio-separator==0.47.1 \
    beat-this==1.1.0 \
    torchaudio==2.11.0 \
    audiobox_aesthetics==0.0.4 \
    muq==0.1.0 \
    msst==0.1.0
# The compiled parts of torchaudio are linked to CUDA, so that it cannot be imported beside another build of torch. It
# works without them.
python -c 'import torch; exit(torch.version.cuda is None)' \
    || rm -f "$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"/torchaudio/lib/*.so
