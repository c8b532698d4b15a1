"""What comes out of a scan: plans in TOML, the command line, xarray with NetCDF and Zarr, curves and pictures."""

import json

import numpy as np
import pytest

import cyclax as cx
from cyclax import cli
from cyclax.grids.grid import cell_edges
from cyclax.recipes.scan import ScanPlan

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

LEFT, RIGHT = np.linspace(-1.9, 1.1, 13), np.linspace(-1.8, 1.2, 16)
PLAN = """
model = "tent.json"
orders = [1, 2]
seed = 3
[parameters]
left = {from = -1.9, to = 1.1, count = 13}
right = {from = -1.8, to = 1.2, count = 16}
[settings]
orbit_steps = 200
[output]
save = "map.npz"
netcdf = "map.nc"
plot = "map.png"
store = "chunks"
"""


@pytest.fixture(scope="module")
def tent():
    """Fixed points and 2-cycles of the skew tent map."""
    return cx.scan(cx.SkewTentMap(0.5, -0.5, 1.0), {"left": LEFT, "right": RIGHT}, 2, key=3, orbit_steps=200)


@pytest.fixture
def folder(tmp_path):
    cx.save(tmp_path / "tent.json", cx.SkewTentMap(0.5, -0.5, 1.0))
    (tmp_path / "scan.toml").write_text(PLAN)
    return tmp_path


# -- plans and the command line ----------------------------------------------------------------------------------------


def test_the_command_line_does_what_the_verb_does(folder, tent, capsys):
    assert cli.main(["scan", str(folder / "scan.toml")]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("BifurcationMap of SkewTentMap: left (13 values, -1.9 to 1.1) x right (16 values")
    assert [line.split("/")[-1] for line in err.splitlines()] == ["map.npz", "map.nc", "map.png"]
    read = cx.BifurcationMap.load(folder / "map.npz")
    np.testing.assert_array_equal(read.counts, tent.counts)
    for name, layer in tent.layers.items():
        np.testing.assert_array_equal(read.layers[name], layer)
    assert (folder / "map.png").read_bytes().startswith(b"\x89PNG")
    assert list((folder / "chunks").iterdir())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("orders =", "order =", r"there is no key 'order'; did you mean 'orders'\?"),
        ("orbit_steps", "orbit_step", r"\[settings\]: there is no key 'orbit_step'; did you mean 'orbit_steps'\?"),
        ("netcdf", "zebra", r"\[output\]: there is no key 'zebra'; known are save, netcdf"),
        ("count = 16", "number = 16", r"\[parameters\] 'right': there is no key 'number'"),
        ("count = 16", "count = 0", "count is an int from 1, got 0"),
        (", count = 16", "", "'count' is missing"),
        ("count = 16", "values = [1.0]", "expected either values, or from, to and count"),
        ("left =", "middle =", "SkewTentMap has no weight 'middle', but left, right, offset"),
        ("from = -1.9", "from = nan", "a grid must be finite"),
        ('"map.npz"', '"map.txt"', "save is a file of type .npz, got 'map.txt'"),
        ('"map.npz"', '"nowhere/map.npz"', "of save does not exist"),
        ("seed = 3", "seed = -3", "seed is an int from 0, got -3"),
        ("tent.json", "missing.json", "missing.json"),
        ("count = 16", "count = 16, offset = 'no'", "offset is true or false, got 'no'"),
        ("[settings]", "offset = [1.0, 2.0]\n[settings]", "plot shows one parameter or two, and this scan has 3"),
        ("[settings]", "[settings", "this is not TOML"),
        ("orders = [1, 2]\n", "", "'orders' is missing"),
    ],
)
def test_a_plan_that_is_wrong_is_refused_before_anything_runs(folder, capsys, old, new, message):
    assert old in PLAN
    (folder / "scan.toml").write_text(PLAN.replace(old, new, 1))
    with pytest.raises((ValueError, OSError), match=message):
        ScanPlan.read(folder / "scan.toml")
    assert cli.main(["scan", str(folder / "scan.toml")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("cyclax: error: ")
    assert err.count("\n") == 1
    assert not (folder / "chunks").exists()


def test_a_plan_with_offsets_and_lists_of_values(folder):
    text = PLAN.replace("{from = -1.9, to = 1.1, count = 13}", "[0.1, 0.2, 0.4]").replace(
        "count = 16", "count = 16, offset = true"
    )
    (folder / "scan.toml").write_text(text)
    plan = ScanPlan.read(folder / "scan.toml")
    (left, first), (right, second) = plan.parameters.items()
    assert (left, right) == (cx.Parameter("left"), cx.Parameter("right", offset=True))
    np.testing.assert_array_equal(first, [0.1, 0.2, 0.4])
    np.testing.assert_array_equal(second, RIGHT)
    assert plan.settings == {"orbit_steps": 200}
    assert (plan.orders, plan.seed, plan.output["store"]) == ([1, 2], 3, folder / "chunks")


# -- xarray ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["netcdf", "zarr"])
def test_xarray_and_back_from_disk(tent, tmp_path, kind):
    xarray = pytest.importorskip("xarray")
    data = tent.to_xarray()
    assert data["counts"].dims == ("order", "left", "right")
    at = {"left": LEFT[3], "right": RIGHT[2]}
    assert data["counts"].sel(order=2, **at) == tent.counts[1, 3, 2]
    assert json.loads(data.attrs["report"])["cells"] == 13 * 16
    if kind == "netcdf":
        data.to_netcdf(tmp_path / "map.nc", engine="h5netcdf")
        read = xarray.open_dataset(tmp_path / "map.nc", engine="h5netcdf")
    else:
        data.to_zarr(tmp_path / "map.zarr", zarr_format=2)
        read = xarray.open_zarr(tmp_path / "map.zarr")
    xarray.testing.assert_identical(read.load(), data)
    read.close()


def test_names_with_brackets_are_coordinates_too(tmp_path):
    xarray = pytest.importorskip("xarray")
    model = cx.PLRNN([0.5, 0.4], [[0.0, 0.3], [-0.2, 0.0]], [0.1, 0.2])
    result = cx.scan(model, {"W[0,1]": [0.1, 0.2, 0.3]}, 1, key=0, orbit_steps=0)
    result.to_xarray().to_netcdf(tmp_path / "map.nc", engine="h5netcdf")
    with xarray.open_dataset(tmp_path / "map.nc", engine="h5netcdf") as read:
        np.testing.assert_array_equal(read["W[0,1]"], [0.1, 0.2, 0.3])


@pytest.mark.parametrize("name", ["order", "counts", "period"])
def test_names_that_the_dataset_has_already(name):
    pytest.importorskip("xarray")
    parameter = cx.Parameter(name, set=lambda m, a: cx.SkewTentMap(a, m.right, m.offset))
    result = cx.scan(cx.SkewTentMap(0.5, -0.5, 1.0), {parameter: [0.1]}, 1, key=0, orbit_steps=2)
    with pytest.raises(ValueError, match=f"'{name}' is a parameter here, and a name of the dataset"):
        result.to_xarray()


def test_offsets_say_so_and_what_they_make_of_the_entry(tmp_path):
    xarray = pytest.importorskip("xarray")
    model = cx.PLRNN([0.5, 0.4], [[0.0, 0.3], [-0.2, 0.0]], [0.1, 0.2])
    axes = {cx.Parameter("W", 0, 1, offset=True): [-0.2, 0.0, 0.2], "h[0]": [0.1, 0.2]}
    result = cx.scan(model, axes, 1, key=0, orbit_steps=0)
    result.to_xarray().to_netcdf(tmp_path / "map.nc", engine="h5netcdf")
    with xarray.open_dataset(tmp_path / "map.nc", engine="h5netcdf") as read:
        assert read["W[0,1]"].attrs == {"long_name": "offset of W[0,1]", "offset": "added to W[0,1] = 0.3 of the model"}
        assert read["h[0]"].attrs == {"long_name": "h[0]"}
        np.testing.assert_array_equal(read["W[0,1]"], [-0.2, 0.0, 0.2])
        np.testing.assert_allclose(read["W[0,1]_absolute"], [0.1, 0.3, 0.5])
        assert read["W[0,1]_absolute"].dims == ("W[0,1]",)
        assert "h[0]_absolute" not in read.coords
        np.testing.assert_array_equal(read["counts"][0], result.counts[0])
    name = cx.Parameter("left_absolute", set=lambda m, a: cx.SkewTentMap(m.left, a, m.offset))
    axes = {cx.Parameter("left", offset=True): [0.0], name: [-0.5]}
    with pytest.raises(ValueError, match="'left_absolute' is a parameter here, and a name of the dataset"):
        cx.scan(cx.SkewTentMap(0.5, -0.5, 1.0), axes, 1, key=0, orbit_steps=0).to_xarray()


# -- curves and pictures -----------------------------------------------------------------------------------------------


def test_curves_run_along_the_lines_on_which_things_happen(tent):
    """Multipliers: left, right, left * right. Each event is on one of the lines where one of these is 1 or -1."""

    def off(segments: np.ndarray, value: float) -> np.ndarray:
        left, right = segments[:, :, 0], segments[:, :, 1]
        return np.min(np.abs(np.stack([left, right, left * right]) - value), axis=0)

    curves = tent.boundaries().segments()
    infinity, flips = curves["degenerate transcritical"], curves["degenerate flip"]
    assert np.max(off(infinity, 1.0)) < 1e-9
    assert np.max(off(flips, -1.0)) < 1e-9
    # Straight lines are whole: left = 1 (below right = 1), and right = -1 (above left = -1.9).
    line = infinity[np.all(np.abs(infinity[:, :, 0] - 1) < 1e-9, axis=1)]
    assert np.min(line[:, :, 1]) <= RIGHT[1]
    assert len(line) >= 14
    line = flips[np.all(np.abs(flips[:, :, 1] + 1) < 1e-9, axis=1)]
    covered = np.sort(line[:, :, 0], axis=1)
    assert np.min(covered) <= LEFT[1]
    assert (
        np.sum(covered[:, 1] - covered[:, 0]) > 2 * 2.4
    )  # both its events, each along the line up to left = 0.5 or so


def test_a_map_says_what_it_shows(tent):
    from matplotlib.figure import Figure

    ax = cx.plot.bifurcation_map(tent, Figure().subplots())
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("left", "right")
    legends = [artist for artist in ax.get_children() if type(artist).__name__ == "Legend"]
    said = {legend.get_title().get_text(): [text.get_text() for text in legend.get_texts()] for legend in legends}
    assert set(said) == {"period of the attractor", "bifurcations"}
    assert {"1", "2", "diverges"} <= set(said["period of the attractor"])
    assert {"degenerate transcritical", "degenerate flip"} <= set(said["bifurcations"])
    for show in ("counts", "stable", "exponent"):
        ax = cx.plot.bifurcation_map(tent, Figure().subplots(), show=show, boundaries=False)
        assert ax.collections
    with pytest.raises(ValueError, match="show: expected one of period"):
        cx.plot.bifurcation_map(tent, show="colour")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="this result has 2"):
        cx.plot.bifurcation_diagram(tent)


def test_edges_of_cells():
    np.testing.assert_allclose(cell_edges(np.geomspace(1e-3, 1e3, 4)), [1e-4, 1e-2, 1, 1e2, 1e4])
    np.testing.assert_allclose(cell_edges(-np.geomspace(1e-3, 1e3, 4)), [-1e-4, -1e-2, -1, -1e2, -1e4])
    np.testing.assert_allclose(cell_edges(np.array([1000.0, 100.0, 10.0])), np.sqrt([1e7, 1e5, 1e3, 1e1]))
    np.testing.assert_allclose(cell_edges(np.array([0.001, 0.002, 0.005, 0.01]), logarithmic=True)[1], np.sqrt(2e-6))
    np.testing.assert_allclose(cell_edges(np.array([0.1, 0.2, 0.4])), np.sqrt([0.005, 0.02, 0.08, 0.32]))
    # Equal steps, steps of no kind, and both signs stay as they are.
    for values in ([1.0, 2.0, 3.0], [0.1, 0.2, 0.5], [-1.0, 1.0], [1000.0, 1000.5, 1001.0], [0.0, 1.0, 10.0]):
        edges = cell_edges(np.array(values))
        np.testing.assert_allclose(edges[1:-1], np.add(values[1:], values[:-1]) / 2)
    np.testing.assert_array_equal(cell_edges(np.array([3.0])), [2.5, 3.5])
    assert np.all(np.diff(cell_edges(np.array([3.0]), logarithmic=True)) > 0)


def test_geometric_steps_are_drawn_on_logarithmic_axes():
    """The slope is minus the second parameter: fixed points are stable to 1, whatever the offset."""
    from matplotlib.figure import Figure

    slope = cx.Parameter("slope", set=lambda m, a: cx.SkewTentMap(m.left, -a, m.offset))
    model, values = cx.SkewTentMap(0.5, -0.5, 1.0), np.geomspace(0.1, 3, 9)
    result = cx.scan(model, {"offset": np.geomspace(1e-3, 1e3, 4), slope: values}, 2, key=0, orbit_steps=50)
    ax = cx.plot.bifurcation_map(result, Figure().subplots())
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    corners = ax.collections[0].get_coordinates()
    np.testing.assert_allclose(corners[0, :, 0], [1e-4, 1e-2, 1, 1e2, 1e4])
    np.testing.assert_allclose(corners[:, 0, 1], cell_edges(values))
    # The line at 1 runs through all cells; at its ends it has no partner.
    flips = result.boundaries().segments(order=1)["degenerate flip"]
    np.testing.assert_allclose(flips[:, :, 1], 1, rtol=1e-12)
    np.testing.assert_allclose(np.sort(flips[:, :, 0], axis=1), [[1e-3, 1e-1], [1e-1, 10], [10, 1e3]])
    line = cx.scan(model, {slope: values}, 2, key=0, orbit_steps=0)
    assert cx.plot.bifurcation_diagram(line, Figure().subplots()).get_xscale() == "log"
    own = Figure().subplots()
    own.set_xscale("log")
    two = cx.scan(model, {slope: [0.1, 0.3, 0.5], "left": [0.1, 0.2, 0.3]}, 1, key=0, orbit_steps=0)
    ax = cx.plot.bifurcation_map(two, own, boundaries=False)
    np.testing.assert_allclose(ax.collections[0].get_coordinates()[0, 1:-1, 0], np.sqrt([0.03, 0.15]))
    assert ax.get_yscale() == "linear"


def test_superstable_cells_do_not_make_all_others_pale(tent):
    """right = 0 (a sixteenth of the cells) contracts at once: its exponent, some -700, is off the scale."""
    from matplotlib.figure import Figure

    assert np.mean(tent.layers["exponent"] < -30) > 0.03
    ax = cx.plot.bifurcation_map(tent, Figure().subplots(), show="exponent", boundaries=False)
    assert -5 < ax.collections[0].norm.vmin < -0.5


def test_a_diagram_draws_the_cycles_and_what_attracts():
    """The skew tent map with left slope 0.5: the fixed point is 1/(1 - right), stable above -1; 2-cycles to -2."""
    from matplotlib.figure import Figure

    values = np.linspace(-1.83, 0.5, 24)
    model = cx.SkewTentMap(0.5, -0.5, 1.0)
    result = cx.scan(model, {"right": values}, 2, key=0, orbit_steps=0)
    at, states = cx.attractor_points(model, {"right": values}, key=0, points=20, orbits=2)
    assert states.shape == (24, 40, 1)
    stable = values > -1
    np.testing.assert_allclose(states[stable, :, 0], np.repeat(1 / (1 - values[stable])[:, None], 40, axis=1))
    two = (1 + values[~stable]) / (1 - 0.5 * values[~stable])  # the point on the left; the other is 0.5 x + 1
    np.testing.assert_allclose(np.min(states[~stable, :, 0], axis=1), two, rtol=1e-9)
    ax = cx.plot.bifurcation_diagram(result, Figure().subplots(), attractor=(at, states))
    drawn = np.concatenate([path.vertices for lines in ax.collections for path in lines.get_paths()])
    ones = 1 / (1 - drawn[:, 0])
    twos = (1 + drawn[:, 0]) / (1 - 0.5 * drawn[:, 0])
    off = np.min(np.abs(drawn[:, 1][:, None] - np.stack([ones, twos, 0.5 * twos + 1], axis=1)), axis=1)
    assert np.max(off) < 2e-3  # cut points lie on chords
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["order 1", "order 2", "stable", "unstable", "simulated"]


def test_attractor_points_of_what_leaves():
    at, states = cx.attractor_points(cx.TentMap(1.5), {"slope": [1.5, 3.0]}, key=0, points=5, orbits=8)
    assert np.nanmax(states[0]) <= 1.0
    assert np.all(np.isnan(states[1]))
    with pytest.raises(ValueError, match="points: expected a positive int"):
        cx.attractor_points(cx.TentMap(1.5), {"slope": at}, key=0, points=0)
    with pytest.raises(ValueError, match="expected one parameter, got 2"):
        cx.attractor_points(cx.SkewTentMap(0.5, -0.5, 1.0), {"left": [0.1], "right": [0.2]}, key=0)
