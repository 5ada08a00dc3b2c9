# Needs:  full_mix.flac, the model's files
# Makes:  features/audiobox.json, the scores of AudioBox Aesthetics

from mirflow.model_features import audiobox

# On a CPU it takes 17 s of computing a minute of music, and one track runs at a time: so several threads for it.
AESTHETICS_THREADS = accelerator.expected_threads(config["aesthetics"]["device"])
AESTHETICS = ["audiobox"] if config["aesthetics"]["backend"] == "audiobox" else []


rule feature_audiobox:
    input:
        full_mix="<results>/{parent}{name}/full_mix.flac",
        model=models.path(audiobox.MODEL),
    output:
        "<results>/{parent}{name}/features/audiobox.json",
    log:
        "<logs>/{parent}{name}/feature_audiobox.log",
    benchmark:
        "<benchmarks>/{parent}{name}/feature_audiobox.jsonl"
    priority: 15
    conda:
        "../envs/models.yaml"
    threads: AESTHETICS_THREADS
    resources:
        gpu=1,
        mem_mb=2000,  # of 20 minutes, on a CPU
    params:
        device=config["aesthetics"]["device"],
        version=audiobox.FEATURE.version,
        source=registry.module_identity("mirflow.model_features.audiobox"),
        model=models.identity(audiobox.MODEL),
    shell:
        "mirflow --model audiobox {input.full_mix:q} --device {params.device}" " -o {output:q} 2> {log:q}"
