# Needs:  full_mix.flac and a model (settings describe.model, describe.projector: entries of config/models.yaml, or files)
# Makes:  texts/<prompt>.txt for each prompt, and features/music_flamingo.json with all of them for .INFO; with
#         describe.condense_model also shorter texts, made from these. With describe.backend: none, nothing.

import os

from mirflow.describe import backends, fragment, prompts

DESCRIBE = config["describe"]
DESCRIBING = DESCRIBE["backend"] != "none"
try:
    PROMPTS_FILE = str(settings.path(DESCRIBE["prompts"] or f"{workflow.basedir}/config/prompts.yaml"))
    PROMPTS = prompts.load(PROMPTS_FILE)
    CONDENSED = prompts.load(PROMPTS_FILE, "condense") if DESCRIBE["condense_model"] else {}
    MODEL, PROJECTOR = backends.pair(DESCRIBE["model"], DESCRIBE["projector"]) if DESCRIBING else ("", "")
    CONDENSER = backends.locate(DESCRIBE["condense_model"], "describe.condense_model")[:1]
    TOKENIZER = backends.locate(DESCRIBE["tokenizer"], "describe.tokenizer")[:1]
    MODEL_FILES = backends.files(DESCRIBE["backend"], MODEL, PROJECTOR)
    # All texts of a track wait for the measurements that any prompt mentions, since the model answers them together.
    HINTS = (
        sorted({name for prompt in PROMPTS.values() for name in prompts.owners(prompt, WANTED)}) if DESCRIBING else []
    )
except MirflowError as error:
    raise WorkflowError(str(error))
# MB: the model's files (10 GB at most in the catalogue), and the context and the audio beside it.
DESCRIBE_MEMORY = 3000 + (sum(os.path.getsize(f) for f in MODEL_FILES if os.path.exists(f)) // 10**6 or 10000)
DECODING = (
    f"--max-tokens {DESCRIBE['max_tokens']} --temperature {DESCRIBE['temperature']} --top-p {DESCRIBE['top_p']}"
    f" --seed {DESCRIBE['seed']}"
)
MEASURED = [name for name in ("tempo", "tonality") if DESCRIBE["conflicts"] and name not in config["skip"]]


rule describe_model:
    "Note which files the describing model consists of."
    input:
        MODEL_FILES,
    output:
        layout.own(RESULTS, "describe", "model.json"),
    log:
        "<logs>/.describe/describe_model.log",
    benchmark:
        "<benchmarks>/.describe/describe_model.jsonl"
    conda:
        "../envs/base.yaml"
    resources:
        mem_mb=200,
    params:
        name=os.path.basename(MODEL).removesuffix(".gguf"),
    shell:
        "mirflow describe_model {input:q} --name {params.name:q} -o {output:q} 2> {log:q}"


rule describe:
    "Answer one prompt about a track."
    input:
        full_mix=TRACK.full_mix,
        hints=[TRACK.fragment(name) for name in HINTS],
        model=MODEL_FILES,
        identity=layout.own(RESULTS, "describe", "model.json"),
    output:
        text=TRACK.text("{prompt}"),
        record=TRACK.text_record("{prompt}"),
    log:
        "<logs>/{parent}{name}/describe_{prompt}.log",
    benchmark:
        "<benchmarks>/{parent}{name}/describe_{prompt}.jsonl"
    wildcard_constraints:
        prompt="|".join(PROMPTS) or "$^",
    priority: 60
    conda:
        "../envs/flamingo.yaml"
    threads: DESCRIBE["threads"]
    resources:
        mem_mb=DESCRIBE_MEMORY,
        gpu=1,
    params:
        prompts=PROMPTS_FILE,
        backend=DESCRIBE["backend"],
        device=DESCRIBE["device"],
        decoding=DECODING,
        made_by=lambda wildcards: identity.made_by(
            f"describe_{DESCRIBE['backend'] if DESCRIBING else 'gguf'}",
            prompt=PROMPTS[wildcards.prompt].identity,
            backend=DESCRIBE["backend"],
            decoding=DECODING,
        ),
    shell:
        "mirflow --model describe {input.full_mix:q} --prompts {params.prompts:q} --prompt {wildcards.prompt}"
        " --hints {input.hints:q} --identity {input.identity:q} --backend {params.backend} --model {input.model:q}"
        " --device {params.device} --threads {threads} {params.decoding}"
        " -o {output.text:q} --record {output.record:q} 2> {log:q}"


rule condense_model:
    "Note which files the condensing model consists of."
    input:
        CONDENSER,
    output:
        layout.own(RESULTS, "describe", "condense_model.json"),
    log:
        "<logs>/.describe/condense_model.log",
    benchmark:
        "<benchmarks>/.describe/condense_model.jsonl"
    conda:
        "../envs/base.yaml"
    resources:
        mem_mb=200,
    params:
        name=os.path.basename("".join(CONDENSER)).removesuffix(".gguf"),
    shell:
        "mirflow describe_model {input:q} --name {params.name:q} -o {output:q} 2> {log:q}"


rule condense:
    "Make a short text of a track's other texts."
    input:
        texts=[TRACK.text(prompt) for prompt in PROMPTS],
        model=CONDENSER,
        identity=layout.own(RESULTS, "describe", "condense_model.json"),
    output:
        text=TRACK.text("{prompt}"),
        record=TRACK.text_record("{prompt}"),
    log:
        "<logs>/{parent}{name}/condense_{prompt}.log",
    benchmark:
        "<benchmarks>/{parent}{name}/condense_{prompt}.jsonl"
    wildcard_constraints:
        prompt="|".join(CONDENSED) or "$^",
    priority: 50
    conda:
        "../envs/flamingo.yaml"
    threads: DESCRIBE["threads"]
    resources:
        mem_mb=DESCRIBE_MEMORY,
        gpu=1,
    params:
        prompts=PROMPTS_FILE,
        device=DESCRIBE["device"],
        decoding=DECODING,
        made_by=lambda wildcards: identity.made_by(
            "condense", prompt=CONDENSED[wildcards.prompt].identity, decoding=DECODING
        ),
    shell:
        "mirflow --model condense {input.texts:q} --prompts {params.prompts:q} --prompt {wildcards.prompt}"
        " --identity {input.identity:q} --model {input.model:q} --device {params.device} --threads {threads}"
        " {params.decoding} -o {output.text:q} --record {output.record:q} 2> {log:q}"


rule texts:
    "Gather the texts of a track into one fragment."
    input:
        texts=[TRACK.text(prompt) for prompt in (*PROMPTS, *CONDENSED)],
        records=[TRACK.text_record(prompt) for prompt in (*PROMPTS, *CONDENSED)],
        identity=layout.own(RESULTS, "describe", "model.json"),
        measured=[TRACK.fragment(name) for name in MEASURED],
        tokenizer=TOKENIZER,
    output:
        TRACK.fragment(fragment.NAME),
    log:
        "<logs>/{parent}{name}/texts.log",
    benchmark:
        "<benchmarks>/{parent}{name}/texts.jsonl"
    conda:
        "../envs/flamingo.yaml"
    resources:
        mem_mb=500,
    params:
        made_by=identity.made_by("texts", conflicts=DESCRIBE["conflicts"]),
    shell:
        "mirflow texts {input.texts:q} --identity {input.identity:q} --measured {input.measured:q}"
        " --tokenizer {input.tokenizer:q} -o {output:q} 2> {log:q}"
