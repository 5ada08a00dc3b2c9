# Needs:  full_mix.flac, the model's files
# Makes:  features/audiobox.json, the scores of AudioBox Aesthetics

from mirflow.model_features import audiobox

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
    priority: 20
    resources:
        gpu=int(config["aesthetics"]["device"] == "gpu"),
    params:
        device=config["aesthetics"]["device"],
        version=audiobox.FEATURE.version,
        source=registry.module_identity("mirflow.model_features.audiobox"),
        model=models.identity(audiobox.MODEL),
    shell:
        "mirflow audiobox {input.full_mix:q} --device {params.device} -o {output:q} 2> {log:q}"
