"""What bench.py measured, as a line on the screen and as a page (bench.md). Not about: how it is measured."""

from __future__ import annotations


def line(found: dict) -> str:
    """Figures of one measurement in one line."""
    if "ratio" in found:
        each = found["pairs_per_second"]
        return f"{each['ours']:.2f} pairs/s, {found['ratio']:.2f} times the published step's {each['published']:.2f}"
    if "rows_a_side" in found:
        chunks = f" in chunks of {found['chunk_size']}" if found["chunk_size"] else ""
        rows = found["rows_a_side"]
        return f"{rows} + {rows} pairs{chunks}: {found['peak_memory_mb']:.0f} MB, {found['seconds']:.0f} s"
    if "per_second" in found:
        memory = f", {found['peak_memory_mb']:.0f} MB" if "peak_memory_mb" in found else ""
        return f"{found['per_second']:.3g}/s{memory}"
    return ", ".join(f"{name} {line(value) if isinstance(value, dict) else value}" for name, value in found.items())


COLUMNS = {  # header -> where it stands in a preset's measurements
    "load, pictures/s": ("load", "workers_0", "per_second"),
    "load, 2 workers": ("load", "workers_2", "per_second"),
    "load, resized before": ("load", "kept", "per_second"),
    "step, pairs/s": ("step", "per_second"),
    "step, MB": ("step", "peak_memory_mb"),
    "encode, pictures/s": ("encode", "per_second"),
    "extract, pictures/s": ("extract", "cold", "per_second"),
    "from the cache": ("extract", "cached", "per_second"),
    "CLIP-Adapter, cells/s": ("adapters", "clip-adapter", "per_second"),
    "Tip-Adapter-F, cells/s": ("adapters", "tip-adapter-f", "per_second"),
}


def waiting(presets: dict) -> list[str]:
    """Presets whose step takes pictures faster than two readers decode them."""
    measured = {name: found for name, found in presets.items() if "load" in found and "per_second" in found.get("step", {})}
    return [
        name for name, found in measured.items()
        if found["step"]["per_second"] > max(found["load"][f"workers_{n}"]["per_second"] for n in (0, 2))
    ]  # fmt: skip


def as_markdown(result: dict) -> str:
    machine = result["machine"]
    text = [
        "# How fast", "",
        f"{machine['cores']} cores, {machine['threads']} threads, no GPU, torch {machine['torch']}, {result['date']}, "
        f"`{result['command']}`. Pictures: {result['pictures']}. A step takes a picture a pair. From the second epoch on "
        "pictures are resized already; in the first, where each file must be decoded, the step waits for them with "
        f"{', '.join(waiting(result['presets'])) or 'no preset measured'}."
        f"{' Tiny sizes, to try the command: these are no measurements.' if result['fast'] else ''}", "",
        "| preset | pairs a side | " + " | ".join(COLUMNS) + " |", "| --- " * (len(COLUMNS) + 2) + "|",
    ]  # fmt: skip
    for preset, found in result["presets"].items():
        cells = [preset, str(found["pairs_a_side"])]
        for place in COLUMNS.values():
            value = found
            for key in place:
                value = value.get(key, {})
            cells.append(f"{value:.4g}" if isinstance(value, float) else "")
        text.append(f"| {' | '.join(cells)} |")
    once = result["once"]
    if "ratio" in once.get("published", {}):
        text += against_published(once["published"])
    if "first" in once.get("compile", {}):
        c = once["compile"]
        when = f"pays after {c['pays_after_steps']} steps" if c["pays_after_steps"] else "never pays"
        text += [
            "", "## torch.compile", "",
            f"ResNet-50 at 224 pixels, 24 pictures, forward and backward: {c['seconds']:.2f} s, compiled {c['compiled']:.2f} s, "
            f"the first time {c['first']:.0f} s: it {when}. It is not used here: the gain is small, and it needs a compiler.",
        ]  # fmt: skip
    small, large = once.get("batch of 32", {}), once.get("batch of 512", {})
    if "rows_a_side" in small and "rows_a_side" in large:
        text += [
            "", "## A large batch on small memory", "",
            "The paper preset's encoders and pooling, random weights, 224 pixels; forward and backward pass in a fresh "
            f"process each, peak resident memory minus that before. {line(small)}. {line(large)}. "
            f"That is **{large['peak_memory_mb'] / small['peak_memory_mb']:.2f} times** the memory "
            f"for {large['rows_a_side'] // small['rows_a_side']} times the pairs; each chunk is encoded twice.",
        ]  # fmt: skip
    return "\n".join(text) + "\n"


def against_published(found: dict) -> list[str]:
    each, tokens, parts = found["pairs_per_second"], found["tokens"], found["parts"]
    apart, noise = found["gradient_difference"], found["gradient_noise"]
    return [
        "", "## Against the published step", "",
        f"{found['pairs']} pairs a step, {found['pixels']} pixels, ResNet-50 and BERT-base, random weights. "
        f"Texts: {found['texts']}; {tokens['real']} tokens, {tokens['padded']} with padding. "
        f"Here {each['ours']:.2f} pairs/s, published {each['published']:.2f}: **{found['ratio']:.2f} times** as many "
        f"(median over {len(found['seconds']['ours'])} batches, {found['ratio_range'][0]:.2f} to {found['ratio_range'][1]:.2f}). "
        f"Without dropout the losses ({found['loss']:.4f}) are {found['loss_difference']:.1e} apart, "
        f"the gradients {apart['image_encoder']:.1e} (image encoder) and {apart['text_encoder']:.1e} (text encoder) of their "
        f"length; the published one moves by {noise['image_encoder']:.1e} and {noise['text_encoder']:.1e} when pixels move by "
        "1e-7 of themselves.", "",
        "| seconds of a step | published | here |", "| --- | --- | --- |",
        *(f"| {part} | {took:.2f} | {parts['ours'][part]:.2f} |" for part, took in parts["published"].items()),
    ]  # fmt: skip
