# An image with all that a run with the default settings needs:
#
#   docker build --tag mirflow .
#   mkdir -p ~/conditioning    # else Docker makes it, as root
#   docker run --rm --user "$(id -u):$(id -g)" --volume ~/music:/music:ro --volume ~/conditioning:/results mirflow
#   docker run ... mirflow run --library /music --results /results --jobs 8 --share 2/8
#
# With the packages of trained models: docker build --build-arg PRESET=full --tag mirflow-full .
# (give these containers a volume for /models, --gpus all, and settings: -- --configfile config/full.yaml).
# For Apptainer, from the image (or with docker-archive:FILE, of `docker save`); work is an empty folder of your own:
#   apptainer build mirflow.sif docker-daemon:mirflow:latest
#   apptainer run --pwd /opt/mirflow --bind ~/work:/opt/mirflow/.snakemake \
#       --bind ~/music:/music:ro --bind ~/conditioning:/results mirflow.sif
FROM python:3.11-slim-bookworm

ARG PRESET=embedded
RUN apt-get update \
    && apt-get install --yes --no-install-recommends make \
    && if [ "$PRESET" = full ]; then apt-get install --yes --no-install-recommends build-essential cmake; fi \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/mirflow
# The packages come first: they change less often than the code.
COPY envs envs
COPY pyproject.toml Makefile README.md LICENSE ./
COPY config/models.yaml config/
COPY scripts scripts
RUN make --no-print-directory ".venv/$(if [ "$PRESET" = full ]; then echo flamingo; else echo base; fi).done"
COPY . .
# Any user may run the image: compiled code is kept beside the sources only where these folders can be written.
RUN .venv/bin/python -m mirflow.warm.preload \
    && find scripts .venv -name __pycache__ -exec chmod a+rwx {} + \
    && ln -s /models models \
    && mkdir /music /results /models \
    && mkdir .snakemake \
    && chmod 1777 /results /models .snakemake
# Snakemake wants a name of its user, and the number that `--user` gives has none in the image.
ENV PATH=/opt/mirflow/.venv/bin:$PATH HOME=/tmp USER=mirflow

CMD ["mirflow", "run", "--library", "/music", "--results", "/results"]
