# Needs:  full_mix.flac; with stems.backend: demucs or roformer the files of a model
# Makes:  the four stems at the mix's rate, channels and length, in one job, and stems.json, which says how.

from mirflow import separators

SEPARATION = config["stems"]
STEM_FORMAT = SEPARATION["format"]

if SEPARATION["backend"] == "dsp":

    rule stems:
        input:
            full_mix="<results>/{parent}{name}/full_mix.flac",
        output:
            drums=f"<results>/{{parent}}{{name}}/drums.{STEM_FORMAT}",
            bass=f"<results>/{{parent}}{{name}}/bass.{STEM_FORMAT}",
            other=f"<results>/{{parent}}{{name}}/other.{STEM_FORMAT}",
            vocals=f"<results>/{{parent}}{{name}}/vocals.{STEM_FORMAT}",
            record="<results>/{parent}{name}/stems.json",
        log:
            "<logs>/{parent}{name}/stems.log",
        benchmark:
            "<benchmarks>/{parent}{name}/stems.jsonl"
        priority: 10
        conda:
            "../envs/base.yaml"
        resources:
            mem_mb=3000,  # measured for 20 minutes of 44.1 kHz stereo: 2.8 GB
        params:
            backend="dsp",
            source=registry.module_identity("mirflow.stems"),
            format=STEM_FORMAT,
            bitrate=SEPARATION["bitrate"],
        shell:
            "mirflow stems {input.full_mix:q} -o {output.drums:q} {output.bass:q} {output.other:q} {output.vocals:q}"
            " --record {output.record:q} --backend {params.backend} --format {params.format} --bitrate {params.bitrate}"
            " 2> {log:q}"

else:
    try:
        SEPARATOR = separators.entry(SEPARATION["backend"], SEPARATION["model"])
    except MirflowError as error:
        raise WorkflowError(str(error))
    SEPARATOR_THREADS = accelerator.expected_threads(SEPARATION["device"])

    rule stems:
        input:
            full_mix="<results>/{parent}{name}/full_mix.flac",
            model=models.path(SEPARATOR),
        output:
            drums=f"<results>/{{parent}}{{name}}/drums.{STEM_FORMAT}",
            bass=f"<results>/{{parent}}{{name}}/bass.{STEM_FORMAT}",
            other=f"<results>/{{parent}}{{name}}/other.{STEM_FORMAT}",
            vocals=f"<results>/{{parent}}{{name}}/vocals.{STEM_FORMAT}",
            record="<results>/{parent}{name}/stems.json",
        log:
            "<logs>/{parent}{name}/stems.log",
        benchmark:
            "<benchmarks>/{parent}{name}/stems.jsonl"
        # Of its own among those that use the GPU, so that a run loads each model once: before what hears the mix alone,
        # since more of the CPU's work waits for stems.
        priority: 25
        conda:
            "../envs/models.yaml"
        threads: SEPARATOR_THREADS
        resources:
            gpu=1,
            mem_mb=5000,  # 20 minutes take 2.4 GB, a network on the CPU 0.8 GB (htdemucs) to 1.8 GB (bs_roformer_4stems)
        params:
            backend=SEPARATION["backend"],
            entry=SEPARATOR,
            about=json.dumps(models.entry(SEPARATOR)["separator"]),
            model=models.identity(SEPARATOR),
            device=SEPARATION["device"],
            running=" ".join(f"--{name} {SEPARATION[name]}" for name in separators.DEFAULTS),
            source=separators.identity(SEPARATION["backend"]),
            format=STEM_FORMAT,
            bitrate=SEPARATION["bitrate"],
        shell:
            "mirflow --model stems {input.full_mix:q} -o {output.drums:q} {output.bass:q} {output.other:q}"
            " {output.vocals:q} --record {output.record:q} --backend {params.backend} --model {input.model:q}"
            " --entry {params.entry} --device {params.device} {params.running}"
            " --format {params.format} --bitrate {params.bitrate} 2> {log:q}"
