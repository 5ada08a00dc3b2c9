# Needs:  a connection, once
# Makes:  the files of the models that other rules ask for, in the folder of the setting `models`

for file in models.files():

    rule:
        name:
            "model_file_" + re.sub(r"\W", "_", file.name)
        output:
            f"<models>/{file.name}",
        log:
            f"{RESULTS}/.mirflow/models/{file.name}.log",
        localrule: True
        resources:
            downloads=1,
        params:
            file=file.name,
            sha256=file.sha256,
        shell:
            "mirflow model_file {params.file} -o {output:q} 2> {log:q}"
