"""The dictionary of commands. Importing it pulls no torch: each function imports what it needs."""

from __future__ import annotations

from xlip.cli import data, evaluation, explaining, exporting, machine, pacs, searching, serving, training
from xlip.cli.command import Command

__all__ = ["COMMANDS", "Command"]


COMMANDS: dict[str, Command] = {
    "demo": Command(
        "demo.DemoConfig",
        training.run_demo,
        "train on the embedded phantom, compare with pairs only, draw what it sees",
    ),
    "prepare": Command(
        "preparation.run.PrepareConfig",
        data.run_prepare,
        "turn a raw data set into Parquet",
        positional="source",
        words=data.source_options,
        extra="data",
    ),
    "audit": Command(
        "audit.run.AuditConfig",
        data.run_audit,
        "look for test images in training sets, and for faults of the data",
        positional="train",
        several=("train", "against"),
        extra="data",
    ),
    "inspect": Command(
        "preparation.inspect.InspectConfig",
        data.run_inspect,
        "look at prepared studies",
        positional="path",
        extra="data",
    ),
    "pretrain": Command(
        "train.config.PretrainConfig", training.run_pretrain, "train on pairs, lone images and lone reports"
    ),
    "plan": Command(
        "speed.plan.PlanConfig",
        training.run_plan,
        "operations, memory, network, hours of a training on N nodes, without data",
        positional="run",
    ),
    **{
        f"bench {part}": Command("speed.run.BenchConfig", training.run_bench(part), f"measure {what} here, as JSON")
        for part, what in (
            ("data", "reading batches from Parquet"),
            ("step", "a training step beside plain transformers"),
            ("encode", "encoding images beside plain transformers"),
            ("prepare", "preparing a set"),
        )
    },
    "replay": Command(
        "train.faults.ReplayConfig",
        training.run_replay,
        "compute a training step again that was not finite",
        positional="folder",
    ),
    "tag": Command(
        "reports.tag_run.TagConfig",
        data.run_tag,
        "find findings, places and devices in reports",
        positional="source",
        extra="data",
    ),
    "zeroshot": Command(
        "evaluate.zeroshot.ZeroShotConfig", evaluation.run_zeroshot, "classify images by prompts and measure it"
    ),
    "leaderboard": Command(
        "results.leaderboard.LeaderboardConfig",
        evaluation.run_leaderboard,
        "one page over many evaluations, of which only comparable ones are compared",
        positional="folders",
        several=("folders",),
    ),
    "report": Command(
        "pages.write.ReportConfig",
        evaluation.run_report,
        "make page, table and model card of an evaluation",
        positional="evaluation",
    ),
    "ablate": Command(
        "ablation.run.AblateConfig",
        training.run_ablate,
        "train variants of one config at several seeds and compare them",
        positional="plan",
    ),
    "probe": Command(
        "evaluate.interaction_run.InteractionConfig",
        evaluation.run_probe,
        "measure on phantoms whether text and image reach each other in a run",
        positional="run",
    ),
    "evaluate": Command(
        "evaluate.suite.EvaluateConfig",
        evaluation.run_evaluate,
        "run a suite of evaluators on models and baselines",
        several=("model", "data"),
    ),
    "compare": Command(
        "results.compare.CompareConfig",
        evaluation.run_compare,
        "test whether one evaluation is better than another on the same studies",
        positional="folders",
        several=("folders",),
    ),
    "finetune": Command(
        "finetune.run.FinetuneConfig",
        training.run_finetune,
        "train a classifier on shares of the labels and measure it",
    ),
    "predict": Command(
        "finetune.predict.PredictConfig", training.run_predict, "score images with a fine-tuned classifier"
    ),
    "explain": Command(
        "explain.run.ExplainConfig",
        explaining.run_explain,
        "show where a model sees a kind, a text or the sentences of a report",
        positional="images",
        several=("images", "text"),
    ),
    "triage": Command(
        "pacs.triage.TriageConfig",
        explaining.run_triage,
        "sort films into a worklist, with maps, and name those that cannot be judged",
        positional="source",
    ),
    "abstain": Command(
        "explain.choosing.AbstainConfig",
        explaining.run_abstain,
        "choose from labelled images when explain and triage call a finding not found",
    ),
    "embed": Command(
        "search.embed.EmbedConfig", searching.run_embed, "make an index of images and reports, to be searched"
    ),
    "search": Command(
        "search.ask.SearchConfig",
        searching.run_search,
        "find images or reports by words, by an image, and by what is known of them",
        positional="index",
    ),
    "index": Command(
        "search.manage.IndexConfig",
        searching.run_index,
        "show an index, take rows out of it, write its files together",
        positional="index",
        several=("remove",),
    ),
    "export": Command(
        "export.run.ExportConfig",
        exporting.run_export,
        "write a model as graphs (ONNX, .pt2), and prove that they agree",
        extra="onnx",
    ),
    "save": Command(
        "export.publish.SaveConfig",
        exporting.run_save,
        "write a model and its card in the layout of the Hugging Face hub",
    ),
    "push": Command(
        "export.publish.PushConfig", exporting.run_push, "send a model with its card to a hub", positional="repo"
    ),
    "pacs pull": Command(
        "pacs.pull.PullConfig",
        pacs.run_pull,
        "fetch radiographs from a DICOMweb server",
        positional="url",
        extra="pacs",
    ),
    "pacs listen": Command(
        "pacs.listen.ListenConfig",
        pacs.run_listen,
        "receive DICOM objects (C-STORE) into a folder",
        positional="out",
        extra="pacs",
    ),
    "pacs write": Command(
        "pacs.films.WriteConfig",
        pacs.run_write,
        "write a model's answers as DICOM objects: overlay, map, segmentation, structured report",
        positional="data",
        extra="pacs",
    ),
    "pacs send": Command(
        "pacs.send.SendConfig",
        pacs.run_send,
        "send DICOM files to an archive by STOW-RS or C-STORE",
        positional="files",
        several=("files",),
        extra="pacs",
    ),
    "serve": Command(
        "serve.config.ServeConfig",
        serving.run_serve,
        "answer over HTTP, with a page: findings, maps, similar cases",
        extra="serve",
    ),
    "doctor": Command(
        "doctor.DoctorConfig",
        lambda config: machine.run_doctor(config, COMMANDS),
        "say what this machine has, what is missing for which command, and what to do about it",
        extra="",
    ),
    "completion": Command(
        "cli.completion.CompletionConfig",
        lambda config: machine.run_completion(config, COMMANDS),
        "print a script by which a shell completes commands and options",
        positional="shell",
        extra="",
    ),
}
