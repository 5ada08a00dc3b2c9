# Runs after models.yaml and models.txt: packages whose own requirements would pull in what they do not need here (other
# builds of torch among it). Called by the Makefile and by Snakemake (--sdm conda), with the environment's python first in PATH.
set -e
python -m pip install --quiet --disable-pip-version-check --no-deps \
    audio-separator==0.47.1 \
    beat-this==1.1.0 \
    torchaudio==2.11.0 \
    audiobox_aesthetics==0.0.4
# torchaudio's compiled parts link CUDA, and keep it from being imported beside another build of torch; it works without them.
python -c 'import torch; exit(torch.version.cuda is None)' \
    || rm -f "$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"/torchaudio/lib/*.so
