"""Several models in one set of arrays: some entries have one axis more in front."""

from cyclax.maps.io.layouts import Arrays


def split(entries: Arrays, dimensions: dict[str, str], source: str) -> tuple[int | None, Arrays, Arrays]:
    """Part the entries that all models share from those with one axis more in front, and count the models.

    Vectors and numbers may be matrices of one row or column, as MATLAB writes them. One model is no sequence: None.
    """
    sizes: dict[str, int] = {}
    for name, array in entries.items():
        axes = dimensions[name].split()
        if len(axes) == 2 and array.ndim >= 2:
            for axis, size in zip(axes, array.shape[-2:], strict=True):
                sizes.setdefault(axis, size)

    shared: Arrays = {}
    stacked: Arrays = {}
    for name, array in entries.items():
        axes = dimensions[name].split()
        if axes == ["..."] and name == "A":  # a diagonal or a matrix
            square = array.shape[-2:] == (sizes.get("M"),) * 2
            axes = ["M", "M"] if square else ["M"]
        elif axes == ["..."]:  # alpha, or a decay: a number, or one for each state
            states = "M" if "M" in sizes else "R"
            axes = [states] if [size for size in array.shape if size != 1][-1:] == [sizes.get(states)] else []
        shape = tuple(sizes.get(axis, 0) for axis in axes)
        if len(shape) < 2 and [n for n in array.shape if n != 1] == [n for n in shape if n != 1]:
            array = array.reshape(shape)
        if array.ndim == len(shape):
            shared[name] = array
        elif array.shape[1:] == shape:
            stacked[name] = array
        else:
            raise ValueError(
                f"{source}: {name} must have shape {shape}, or one axis more in front for a sequence of models; got "
                f"{array.shape}."
            )
    counts = {name: len(array) for name, array in stacked.items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name}: {count}" for name, count in counts.items())
        raise ValueError(f"{source}: the entries of a sequence of models must be equally long, got {listed}.")
    count = next(iter(counts.values()), None)
    if count == 0:
        raise ValueError(f"{source}: this is a sequence of no models ({', '.join(stacked)} have a first axis of 0).")
    if count != 1 and "A" in shared and shared["A"].shape == (count, count):
        raise ValueError(
            f"{source}: A of shape {(count, count)} may be one matrix or {count} diagonals; give it an axis for the "
            f"models: {(count, count, count)}."
        )
    return count, shared, stacked
