"""What the library says of small networks against what they have in rationals; longer by `python -m`, see fuzz.py."""

import pytest

import cyclax as cx

from .fuzz import attempt, run, run_verbs, table, undecided_share
from .judge import judge
from .networks import SHAPES, STYLES
from .reference import Reference
from .verbs import Said, ask


def failures(tally) -> str:
    return "\n\n".join(map(str, tally.hard[:5]))


def test_a_network_of_every_style():
    tally = run(7, len(STYLES), shapes=("PLRNN 2",), each=2, methods=("Exhaustive", "WordGraph"), searches=False)
    assert tally.counts["PLRNN 2"]["claims"] >= len(STYLES)
    assert not tally.hard, failures(tally)


def test_what_verbs_leave_undecided_is_counted():
    """Of multipliers beyond the largest float64 nothing is certified."""
    ordinary = run_verbs(7, 2, asked=("certify",), shapes=("PLRNN 2",), styles=("gauss", "near-singular"))
    assert sum(row["orders"] for row in (ordinary.counts["gauss"], ordinary.counts["near-singular"])) > 4
    said = ordinary.ordinary["certify"]
    assert (said.undecided, said.verdicts) == undecided_share(ordinary)
    assert said.verdicts == ordinary.counts["gauss"]["orders"] >= 2
    assert f"certify: {said.undecided} of {said.verdicts} verdicts" in table(ordinary)
    said = Said()
    ask(cx.SkewTentMap(left=1e200, right=-1e200, offset=1.0), "certify", 0, said)
    assert 0 < said.undecided < said.verdicts


@pytest.mark.fuzz
def test_all_classes_and_styles():
    tally = run(7, 5 * len(SHAPES), each=2)
    print(table(tally))
    assert min(tally.counts[row]["networks"] for row in (*SHAPES, *STYLES)) >= 5
    left, verdicts = undecided_share(tally)
    assert left < 0.01 * verdicts
    assert not tally.hard, failures(tally)


@pytest.mark.fuzz
def test_all_verbs():
    tally = run_verbs(7, 45, shapes=("ShallowPLRNN 1", "PLRNN 2", "SkewTentMap"))
    print(table(tally))
    left, verdicts = undecided_share(tally)
    assert left < 0.01 * verdicts
    assert not tally.hard, failures(tally)


@pytest.mark.parametrize(
    ("model", "number"),
    [
        # A fixed point that stays on its border: it has no crossing.
        (cx.SkewTentMap(left=-1.0, right=-1.0, offset=0.0), 43),
        (cx.SkewTentMap(left=2.0, right=2.0, offset=0.0), 22),
        # One that ends on borders that switch nothing at that end.
        (cx.ClippedDendriticPLRNN(A=[0.0], W=[[1.0]], h=[0.0], alpha=[-2.0, 0.0], thresholds=[[0.0, 0.0]]), 31),
        # A cycle whose gates differ from those on the list where these switch nothing.
        (
            cx.ShallowPLRNN(A=[-2.0], W1=[[2.0, -1.0, 0.0]], W2=[[0.0], [-2.0], [0.0]], h1=[2.0], h2=[0.0, 1.0, 0.0]),
            33,
        ),
        # No cycle at s = 0, which only exact numbers tell.
        (
            cx.LeakyReLURNN(
                W=[[6.799302378178386e113, 1.0347231209058033e114], [1.1538240856018649e114, 1.6023359301796586e113]],
                b=[-0.25149058468917884, -0.10450334383073323],
                slope=0.25,
            ),
            0,
        ),
        # Two gates that one side cannot tell apart, and the other can; multipliers that pass 1 between two places.
        (
            cx.ClippedDendriticPLRNN(
                A=[0.21653977204129637],
                W=[[-0.8030535867968843]],
                h=[1.3991744092402124e186],
                alpha=[5.907052764568501e185, -1.5343197789543446e186],
                thresholds=[[-0.20243656147744155, 1.3805546139293812]],
            ),
            1,
        ),
        (
            cx.ClippedDendriticPLRNN(
                A=[-9.553185011387975e55],
                W=[[-2.1209179605489673e56]],
                h=[-0.07916775619362168],
                alpha=[2.0563258696499392e55, -1.1920038769458657e56],
                thresholds=[[-3.08016866380951, 0.4853190313880247]],
            ),
            71,
        ),
        # A multiplier that passes +1 between two places, so that the cycle is on both sides at once.
        (
            cx.ShallowPLRNN(
                A=[3.7677785258894064e87],
                W1=[[0.8311910751533554, 0.5620543326899066, 0.6672207813331494]],
                W2=[[-0.1437018352892137], [-0.06224705610467699], [0.3813361515222222]],
                h1=[0.4687816160226155],
                h2=[1.0807926815206153e88, -2.778854836935269e88, 4.8684090616643765e87],
            ),
            3,
        ),
        # Two planes that are one at s = 0, where a 2-cycle shrinks to a point: not the one of the rule.
        (cx.ClippedDendriticPLRNN(A=[-1.0], W=[[-1.5]], h=[0.75], alpha=[1.25, 0.5], thresholds=[[0.0, -1.0]]), 56),
        # A cycle that is at infinity within rounding of one place only.
        (
            cx.PLRNN(
                A=[0.49148974191037714, -0.7470853552510723],
                W=[[-1.0, -1.2246467991473532e-16], [1.2246467991473532e-16, -1.0]],
                h=[0.9832365207024047, 0.5872400656163766],
            ),
            13,
        ),
        # Units of the size of the weights, whose products leave float64.
        (
            cx.PLRNN(
                A=[6.369258429490756e-191, 6.514958541968299e-191],
                W=[
                    [3.412370849654497e-191, -1.327677443677943e-190],
                    [3.6922121649838034e-190, 1.4929183176469536e-190],
                ],
                h=[6.188638502033506e-191, -6.246032876934404e-190],
            ),
            18,
        ),
        # Sums of terms beyond the largest float64.
        (
            cx.ClippedDendriticPLRNN(
                A=[2.9624493929047927e184],
                W=[[-3.8918711241423014]],
                h=[2.41220423420492e185],
                alpha=[8.717103929336851e184, 2.1622805918151127e185],
                thresholds=[[1.386648329401138e185, 8.96493343220795e184]],
            ),
            5,
        ),
        # Two planes that are one at an event, and apart beside it.
        (
            cx.ClippedDendriticPLRNN(
                A=[1.1276387112780837],
                W=[[0.7948905408617329]],
                h=[1.545347435283486],
                alpha=[-1.1777208760478955e164, 5.644790797272885e164],
                thresholds=[[-0.7681231778870165, -0.6368955224470213]],
            ),
            20,
        ),
        # Several events within one place, of which float64 does not tell the order.
        (
            cx.ClippedDendriticPLRNN(
                A=[-5.575930758640158e66],
                W=[[-2.2212237225004103e67]],
                h=[-0.3313726959276359],
                alpha=[0.5020069324861228, -0.339211346400372],
                thresholds=[[2.389963421263819e67, 3.870741746557558e67]],
            ),
            10,
        ),
        # Multipliers that pass +1 between two neighboring places, and -1 soon after.
        (
            cx.ShallowPLRNN(
                A=[562949953421312.4],
                W1=[[-562949953421312.2, -1.2976655675130564, 1.8825224832318992]],
                W2=[[-0.36996898383228716], [-0.00018340559434918506], [0.45854399849830874]],
                h1=[1.5546304228113044],
                h2=[-0.1465632249480688, 0.21286764727275106, -1.4713084666714475],
            ),
            5,
        ),
        # Cycles that end at infinity, and begin anew at a fold so near that their signs were read off past it.
        (
            cx.AlmostLinearRNN(
                A=[262143.65128257766, 262144.37132337433],
                W=[[-262144.1620077388, 0.14652368141300193], [-0.05623947664703678, -262143.84731814123]],
                h=[-0.1783691170126707, 0.31963724332468413],
                num_gated=1,
            ),
            6,
        ),
        # One that ends at infinity at 5e-11, and comes back from there at 2e-10.
        (
            cx.AlmostLinearRNN(
                A=[549755813887.6937, 549755813888.5297],
                W=[[-549755813888.1338, -0.16632104786862192], [-1.2449773990929345, -549755813888.7646]],
                h=[-1.1564036075609418, 0.6986865872788869],
                num_gated=1,
            ),
            11,
        ),
        # What float64 took for an event on the way to one for which it has too few digits.
        (
            cx.BorderCollisionNormalForm(
                left=[
                    [7.727948073040175e111, -1.3793790597347574e111],
                    [-2.2387115886814135e112, 6.440851979221882e110],
                ],
                right=[[-0.3160286173434665, -1.3793790597347574e111], [-0.326648433247847, 6.440851979221882e110]],
                h=[2.410820237588856e112, -5.395793897708332e112],
            ),
            3,
        ),
        # Two multipliers that pass +1 within 1e-11: through infinity, and there again.
        (
            cx.AlmostLinearRNN(
                A=[0.999999999998181, 0.999999999998181],
                W=[[0.0, -0.5072803140391599], [0.0, 0.0]],
                h=[0.07021694285695504, -0.5107692788403012],
                num_gated=1,
            ),
            11,
        ),
        # A border that a cycle of points of 1e10 crosses by no more than rounding of the terms for 0.01 of the way.
        (
            cx.ClippedDendriticPLRNN(
                A=[-942428.4384979286],
                W=[[30818.236489741204]],
                h=[-0.2388881720631889],
                alpha=[-1502242.1690004223, -2714266.9049968803],
                thresholds=[[1660332.2196933483, -571412.4552114542]],
            ),
            20,
        ),
        # A point on a border at s = 0 that is beyond it up to the fold from which its cycle comes.
        (
            cx.ShallowPLRNN(A=[2.0], W1=[[1.0, 1.0, 1.0]], W2=[[1.0], [1.0], [-2.0]], h1=[0.0], h2=[2.0, 0.0, -2.0]),
            9,
        ),
    ],
)
def test_what_fuzzing_found_in_compare(model, number):
    """The neighbors are those that `compare` was asked about when it said something false."""
    assert ask(model, "compare", number) == []


@pytest.mark.parametrize(
    ("model", "number"),
    [
        # Jacobians beyond the largest float64.
        (
            cx.ShallowPLRNN(
                A=[-0.21113793882846843],
                W1=[[1.791000945935004e187, -2.333085224233761e187, 3.406266423143316e187]],
                W2=[[1.9304017117466723e187], [1.0250517923065582e187], [1.812025739706829e186]],
                h1=[-1.537271816060746],
                h2=[-0.33942543093895705, 0.7201314762690748, -0.12992402733248698],
            ),
            9,
        ),
        # Multipliers beyond it.
        (
            cx.PLRNN(
                A=[-5.107631774449138e184, -1.3319012699661276e185],
                W=[[5.266212934286187e185, -4.9676722566863996e185], [-7.054164987477493e185, 1.897751190377284e185]],
                h=[-2.464291955948626e185, -2.4144222003805642e185],
            ),
            2,
        ),
        # Large weights that cancel, on a line that is rough in float64.
        (
            cx.LeakyReLURNN(
                W=[[68719476734.4932, 68719476734.749176], [68719476735.56326, 68719476737.27435]],
                b=[-0.34464364084100635, -0.13097991807548245],
                slope=0.25,
            ),
            15,
        ),
        # Events nearer to each other than 1e-10.
        (
            cx.ClippedDendriticPLRNN(
                A=[4294967297.240854],
                W=[[-4294967300.712232]],
                h=[0.4364273436911402],
                alpha=[-0.5230000581214994, -0.32808788267578204],
                thresholds=[[1.3277059231981276, -4.587341700343174]],
            ),
            8,
        ),
        # Events that only the numbers near 0 tell apart.
        (
            cx.BorderCollisionNormalForm(
                left=[[34359738368.75244, 34359738366.97861], [34359738367.5822, 34359738365.606785]],
                right=[[-34359738367.411423, 34359738366.97861], [-0.6181867223286468, 34359738365.606785]],
                h=[1.3005934079023949, -0.7348699669742098],
            ),
            36,
        ),
        # Multipliers that pass -1 and +1 between two places.
        (
            cx.ClippedDendriticPLRNN(
                A=[268435456.2806901],
                W=[[-268435457.60206085]],
                h=[-1.6681156389339324],
                alpha=[1.1663480015227958, 0.3779715449471296],
                thresholds=[[-3.3577509027805506, 1.7100736489122959]],
            ),
            8,
        ),
        # A border on which another gate vanishes at s = 0: a fold of words that are none beside it.
        (
            cx.ShallowPLRNN(A=[-2.0], W1=[[1.0, 1.0, -2.0]], W2=[[0.0], [0.0], [-2.0]], h1=[-0.0], h2=[0.0, 0.0, 0.0]),
            21,
        ),
        # Gates that switch nothing at s = 0, where a point far away leaves it within 1e-12.
        (
            cx.ClippedDendriticPLRNN(
                A=[0.9999999999999929],
                W=[[0.0]],
                h=[-0.11163955175590837],
                alpha=[0.42618053891694424, -0.26999411127654316],
                thresholds=[[-0.7262986040906962, 1.3198802141500967]],
            ),
            28,
        ),
        # A fixed point that stays on a border from s = 0 on.
        (
            cx.LeakyReLURNN(W=[[-1.0, -2.0], [0.0, 0.0]], b=[-2.0, 0.0], slope=0.25),
            25,
        ),
        # Two multipliers that pass +1 between two looks.
        (
            cx.BorderCollisionNormalForm(
                left=[[0.9999999999999716, 0.0], [0.0, 0.9999847412109375]],
                right=[[0.9999999999999999, 0.0], [0.0, 0.9999847412109375]],
                h=[-0.6758522017849811, -0.6026608547762717],
            ),
            11,
        ),
        # A height that float64 takes for 0 all along.
        (
            cx.LeakyReLURNN(
                W=[[2.422654465276941e88, 1.0272361997427317e89], [-2.732060717113332e88, 1.0774923038204539e88]],
                b=[9.469718541853346e88, -1.6007903725330566e89],
                slope=0.8780419828857655,
            ),
            2,
        ),
    ],
)
def test_what_compare_had_left_undecided(model, number):
    said = Said()
    assert ask(model, "compare", number, said) == []
    assert said.undecided == 0


@pytest.mark.parametrize(
    ("model", "options"),
    [
        # A 3-cycle of points beyond the largest float64, as is what the map adds to them.
        (
            cx.ClippedDendriticPLRNN(
                A=[-0.329615305025034, 0.2701008083637172],
                W=[
                    [3.230174132130374e175, -4.3686017763927575e176],
                    [5.616766007562952e176, -1.0615944389222262e177],
                ],
                h=[1.5271312976725895e176, -3.9116177902040365e175],
                alpha=[-0.6503621595300979],
                thresholds=[[9.214422941285523e175], [2.3231924062397363e176]],
            ),
            "[3], method=cx.Exhaustive(), progress=False",
        ),
        # Products of weights that cancel in what one gate adds: error bounds 1e10 times too small,
        (
            cx.LowRankPLRNN(
                A=[0.028989513546996748, -0.46429939504063394],
                U=[[-562823337417.525, 562823337418.5267], [588834943748.4452, -588834943748.5431]],
                V=[[0.04211810294245316, -1.5709005193070567], [0.042118102943072964, -1.57090051930522]],
                h=[-0.6809789689138194, 1.0168262786662374],
            ),
            "2, method=cx.Exhaustive(), progress=False",
        ),
        # and a cycle that was missing in what was proved complete.
        (
            cx.LowRankPLRNN(
                A=[0.8566881973023156, 0.5066388499896551],
                U=[[783545074121487.6, -783545074121488.1], [-1430873022859087.2, 1430873022859087.8]],
                V=[[-0.9365477163197146, 0.3939383568003809], [-0.9365477163197138, 0.3939383568003795]],
                h=[2.0940849859026374, 0.7286889415434207],
            ),
            "2, method=cx.BranchAndBound(), progress=False",
        ),
        # Rows of 1e35 beside rows of 1, which elimination loses: a 3-cycle was refuted, with a tiny bound on the error.
        (
            cx.RateRNN(
                W=[
                    [-1.3835842700274175e35, -1.0249350055182375e35],
                    [1.6156415366761788e35, -1.4218798124264044e35],
                ],
                b=[1.3529295146242952, -0.6810958928585507],
                alpha=0.25,
            ),
            "3, method=cx.Exhaustive(), progress=False",
        ),
        # Products of weights below the smallest number with all of its digits.
        (
            cx.LowRankRNN(
                m=[
                    [-6.264776075118513e-156, 7.940815702240158e-156],
                    [-3.5330444891977315e-156, 2.8296462014339578e-157],
                    [7.208900921101939e-156, -1.3075704218251587e-155],
                ],
                n=[
                    [-3.48682988881229e-156, -8.420573192961494e-156],
                    [-5.607122708710638e-156, -4.962597482765249e-156],
                    [1.224305245827447e-156, -8.150181461178901e-156],
                ],
                b=[-1.1695874907330703, -0.5103563506688051, 0.3071772435242945],
                alpha=7.917997232168627e-157,
            ),
            "1, progress=False",
        ),
    ],
)
def test_what_fuzzing_found_in_enumerate_cycles(model, options):
    cycles, wrong, refusal = attempt(f"cx.enumerate_cycles(model, {options})", model)
    assert (wrong, refusal) == ([], "")
    assert isinstance(cycles, cx.Cycles)
    assert [finding for finding in judge(Reference(model), cycles) if not finding.soft] == []


@pytest.mark.parametrize(
    ("model", "number"),
    [
        # Terms that nearly cancel in what the map adds: it is rounded as they are.
        (
            cx.ShallowPLRNN(
                A=[-0.45723831886000843],
                W1=[[-6.611879079380872e-20, 1.4231198773239607e-20, -4.623706656979248e-20]],
                W2=[[0.3021725655681789], [2.0859188124326016], [-0.5862086409637622]],
                h1=[2.6755845713656445e-20],
                h2=[0.767168446966723, 1.6869522934168364, -1.1113234784436312],
            ),
            3,
        ),
        # A double multiplier +1 where an edge begins: rounding moves the place past other events of that end.
        (cx.LoziMap(a=2.0, b=-1.0), 3),
    ],
)
def test_what_fuzzing_found_in_scan(model, number):
    assert ask(model, "scan", number) == []


def test_what_ends_the_first_step_of_a_track():
    """At the second model a fixed point is within rounding of a border: what follows beyond it is on neither step."""
    model = cx.ClippedDendriticPLRNN(
        A=[-0.852077654599961],
        W=[[-1.2987405174534676e52]],
        h=[-0.4784010285127995],
        alpha=[-1.221159789743824e52, 1.2921050996309183e52],
        thresholds=[[0.12064527585154233, -0.19046224252229627]],
    )
    assert [finding for finding in ask(model, "track", 5) if not finding.soft] == []


def test_a_jacobian_that_only_units_take_beyond_float64():
    """Of a 2-cycle, 1e248 in its own units and in those of its search, which are 1e125 times as large."""
    model = cx.BorderCollisionNormalForm(
        left=[[-1.0861668162046042e124, -1.2493721752058044e124], [-2.4487758335909016e123, -7.132713260797637e123]],
        right=[[1.8450769124919497e123, -1.2493721752058044e124], [-2.211821507169794e124, -7.132713260797637e123]],
        h=[-6.819777035117602e124, 7.106890028502374e124],
    )
    assert ask(model, "certify", 3) == []
