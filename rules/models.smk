# Needs:  an internet connection, once
# Makes:  the model files that other rules need, in the directory of the setting `models`

for file in catalogue.files():

    rule:
        name:
            "model_file_" + re.sub(r"\W", "_", file.name)
        output:
            f"<models>/{file.name}",
        log:
            layout.own(RESULTS, "models", f"{file.name}.log"),
        localrule: True
        conda:
            "../envs/base.yaml"
        resources:
            downloads=1,
        params:
            file=file.name,
            # Only another hash may download the file again: Snakemake removes an output before it makes it anew.
            made_by={"kind": "model_file", "version": "1", "sha256": file.sha256},
        shell:
            "mirflow model_file {params.file} -o {output:q} 2> {log:q}"
