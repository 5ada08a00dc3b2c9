# Needs:  full_mix.flac; a model (settings describe.model, describe.projector: entries of config/models.yaml, or files),
#         nothing with describe.backend: none
# Makes:  texts/<prompt>.txt for each entry of the prompts, features/music_flamingo.json with all of them for .INFO; with
#         describe.condense_model also shorter ones, made from these

import os

from mirflow.describe import answer, backends, fragment, prompts

DESCRIBE = config["describe"]
NUMBERS = {*registry.feature_names(), *HEADS} - set(config["skip"])
DESCRIBING = DESCRIBE["backend"] != "none"
try:
    PROMPTS_FILE = str(settings.path(DESCRIBE["prompts"] or f"{workflow.basedir}/config/prompts.yaml"))
    PROMPTS = prompts.load(PROMPTS_FILE)
    CONDENSED = prompts.load(PROMPTS_FILE, "condense") if DESCRIBE["condense_model"] else {}
    MODEL, PROJECTOR = backends.pair(DESCRIBE["model"], DESCRIBE["projector"]) if DESCRIBING else ("", "")
    CONDENSER = backends.locate(DESCRIBE["condense_model"], "describe.condense_model")[:1]
    TOKENIZER = backends.locate(DESCRIBE["tokenizer"], "describe.tokenizer")[:1]
    MODEL_FILES = backends.files(DESCRIBE["backend"], MODEL, PROJECTOR)
    MADE = [feature for feature in (*registry.features(), *heads.features()) if feature.name in NUMBERS]
    # All texts of a track wait for the measurements that any of them mentions: they are answered together.
    HINTS = sorted({name for prompt in PROMPTS.values() for name in prompts.owners(prompt, MADE)}) if DESCRIBING else []
except MirflowError as error:
    raise WorkflowError(str(error))
# A model in memory as in its files; those of the catalogue have 10 GB at most. Beside it the context and the sound.
DESCRIBE_MEMORY = 3000 + (sum(os.path.getsize(f) for f in MODEL_FILES if os.path.exists(f)) // 10**6 or 10000)
DECODING = (
    f"--max-tokens {DESCRIBE['max_tokens']} --temperature {DESCRIBE['temperature']} --top-p {DESCRIBE['top_p']}"
    f" --seed {DESCRIBE['seed']}"
)
MEASURED = [name for name in ("tempo", "tonality") if DESCRIBE["conflicts"] and name not in config["skip"]]


rule describe_model:
    input:
        MODEL_FILES,
    output:
        "<results>/.mirflow/describe/model.json",
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
    input:
        full_mix="<results>/{parent}{name}/full_mix.flac",
        hints=[f"<results>/{{parent}}{{name}}/features/{name}.json" for name in HINTS],
        model=MODEL_FILES,
        identity="<results>/.mirflow/describe/model.json",
    output:
        text="<results>/{parent}{name}/texts/{prompt}.txt",
        record="<results>/{parent}{name}/texts/{prompt}.json",
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
        prompt=lambda wildcards: PROMPTS[wildcards.prompt].identity,
        prompts=PROMPTS_FILE,
        backend=DESCRIBE["backend"],
        model=MODEL,
        projector=PROJECTOR,
        device=DESCRIBE["device"],
        decoding=DECODING,
        version=answer.VERSION,
    shell:
        "mirflow --model describe {input.full_mix:q} --prompts {params.prompts:q} --prompt {wildcards.prompt}"
        " --hints {input.hints:q} --identity {input.identity:q} --backend {params.backend} --model {params.model:q}"
        " --projector={params.projector:q} --device {params.device} --threads {threads} {params.decoding}"
        " -o {output.text:q} --record {output.record:q} 2> {log:q}"


rule condense_model:
    input:
        CONDENSER,
    output:
        "<results>/.mirflow/describe/condense_model.json",
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
    input:
        texts=[f"<results>/{{parent}}{{name}}/texts/{prompt}.txt" for prompt in PROMPTS],
        model=CONDENSER,
        identity="<results>/.mirflow/describe/condense_model.json",
    output:
        text="<results>/{parent}{name}/texts/{prompt}.txt",
        record="<results>/{parent}{name}/texts/{prompt}.json",
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
        prompt=lambda wildcards: CONDENSED[wildcards.prompt].identity,
        prompts=PROMPTS_FILE,
        device=DESCRIBE["device"],
        decoding=DECODING,
        version=answer.VERSION,
    shell:
        "mirflow --model condense {input.texts:q} --prompts {params.prompts:q} --prompt {wildcards.prompt}"
        " --identity {input.identity:q} --model {input.model:q} --device {params.device} --threads {threads}"
        " {params.decoding} -o {output.text:q} --record {output.record:q} 2> {log:q}"


rule texts:
    input:
        texts=[f"<results>/{{parent}}{{name}}/texts/{prompt}.txt" for prompt in (*PROMPTS, *CONDENSED)],
        records=[f"<results>/{{parent}}{{name}}/texts/{prompt}.json" for prompt in (*PROMPTS, *CONDENSED)],
        identity="<results>/.mirflow/describe/model.json",
        measured=[f"<results>/{{parent}}{{name}}/features/{name}.json" for name in MEASURED],
        tokenizer=TOKENIZER,
    output:
        "<results>/{parent}{name}/features/music_flamingo.json",
    log:
        "<logs>/{parent}{name}/texts.log",
    benchmark:
        "<benchmarks>/{parent}{name}/texts.jsonl"
    conda:
        "../envs/flamingo.yaml"
    resources:
        mem_mb=500,
    params:
        version=fragment.VERSION,
        conflicts=DESCRIBE["conflicts"],
    shell:
        "mirflow texts {input.texts:q} --identity {input.identity:q} --measured {input.measured:q}"
        " --tokenizer {input.tokenizer:q} -o {output:q} 2> {log:q}"
