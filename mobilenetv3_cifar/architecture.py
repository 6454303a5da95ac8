"""Define layouts and styles of MobileNetV3, and build the network's modules from them.

A layout lists the blocks of a network, and a style says how each block is built. There are three
kinds of each:
- "report" follows the student report that this project reproduces (listings 5-9 and figure 1).
- "paper" follows Howard et al., "Searching for MobileNetV3" (ICCV 2019,
  https://arxiv.org/abs/1905.02244), as implemented in torchvision.
- "cifar32" is this project's adaptation of "paper" to images of 32x32 pixels.
"""

from collections import OrderedDict
from typing import NamedTuple

from torch import Tensor, nn


class Row(NamedTuple):
    """One bottleneck: a row of table 1 or 2 of the MobileNetV3 paper."""

    inputs: int
    kernel: int
    expanded: int
    outputs: int
    se: bool
    activation: type[nn.Module]
    stride: int


RE, HS = nn.ReLU, nn.Hardswish

# fmt: off
#   inputs  k  exp  out   SE     NL  s
LARGE = [
    Row( 16, 3,  16,  16, False, RE, 1),
    Row( 16, 3,  64,  24, False, RE, 2),
    Row( 24, 3,  72,  24, False, RE, 1),
    Row( 24, 5,  72,  40, True,  RE, 2),
    Row( 40, 5, 120,  40, True,  RE, 1),
    Row( 40, 5, 120,  40, True,  RE, 1),
    Row( 40, 3, 240,  80, False, HS, 2),
    Row( 80, 3, 200,  80, False, HS, 1),
    Row( 80, 3, 184,  80, False, HS, 1),
    Row( 80, 3, 184,  80, False, HS, 1),
    Row( 80, 3, 480, 112, True,  HS, 1),
    Row(112, 3, 672, 112, True,  HS, 1),
    Row(112, 5, 672, 160, True,  HS, 2),
    Row(160, 5, 960, 160, True,  HS, 1),
    Row(160, 5, 960, 160, True,  HS, 1),
]
SMALL = [
    Row( 16, 3,  16,  16, True,  RE, 2),
    Row( 16, 3,  72,  24, False, RE, 2),
    Row( 24, 3,  88,  24, False, RE, 1),
    Row( 24, 5,  96,  40, True,  HS, 2),
    Row( 40, 5, 240,  40, True,  HS, 1),
    Row( 40, 5, 240,  40, True,  HS, 1),
    Row( 40, 5, 120,  48, True,  HS, 1),
    Row( 48, 5, 144,  48, True,  HS, 1),
    Row( 48, 5, 288,  96, True,  HS, 2),
    Row( 96, 5, 576,  96, True,  HS, 1),
    Row( 96, 5, 576,  96, True,  HS, 1),
]
# fmt: on


class Layout(NamedTuple):
    rows: list[Row]
    last: int  # output channels of the last convolution before pooling
    last_se: bool = False  # whether squeeze-and-excite follows the last convolution
    hidden: int | None = None  # width of the head's hidden layer, or None if there is none
    stem_stride: int = 2


def with_strides(rows: list[Row], strides: dict[int, int]) -> list[Row]:
    """Return `rows` with the strides of some rows replaced. `strides` is {row index: stride}."""
    return [row._replace(stride=strides.get(i, row.stride)) for i, row in enumerate(rows)]


LAYOUTS = {
    # NOTE: The strides of rows 12 and 13 follow listing 8. Figure 1 and the paper swap them.
    ("large", "report"): Layout(with_strides(LARGE, {12: 1, 13: 2}), last=960, hidden=1280),
    # No listing shows the small network. As in figure 1, SE follows the last convolution.
    ("small", "report"): Layout(SMALL, last=576, last_se=True, hidden=1280),
    ("large", "paper"): Layout(LARGE, last=960, hidden=1280),
    # NOTE: Table 2 of the paper has SE after the last convolution. This layout has no SE there,
    # because it follows the paper's code and torchvision.
    ("small", "paper"): Layout(SMALL, last=576, hidden=1024),
    # Unlike in the paper, the stem and one row have stride 1, so 32x32 images become 4x4 maps.
    ("large", "cifar32"): Layout(with_strides(LARGE, {3: 1}), last=960, stem_stride=1),
    ("small", "cifar32"): Layout(with_strides(SMALL, {0: 1}), last=576, stem_stride=1),
}


class Style(NamedTuple):
    stem_bias: bool
    expand_always: bool  # keep the 1x1 expansion even if it adds no channels
    activate_depthwise: bool
    activate_projection: bool
    se_bias: bool
    se_multiple: int  # the squeeze width is rounded to a multiple of this number
    bn_eps: float
    bn_momentum: float
    zero_init: bool = False  # whether residual blocks start as the identity (Goyal et al. 2017)


STYLES = {
    "report": Style(
        stem_bias=True,  # NOTE: as in listing 7, unlike the paper; batch norm cancels the bias
        expand_always=True,  # NOTE: as in listing 6, unlike torchvision
        activate_depthwise=False,  # NOTE: as in listing 6, unlike the paper
        activate_projection=True,  # NOTE: as in listing 6, unlike the paper
        se_bias=False,  # NOTE: as in listing 5, unlike torchvision
        se_multiple=1,  # NOTE: no rounding, as in listing 5; torchvision rounds to multiples of 8
        bn_eps=1e-5,
        bn_momentum=0.1,
    ),
    "paper": Style(
        stem_bias=False,
        expand_always=False,
        activate_depthwise=True,
        activate_projection=False,
        se_bias=True,
        se_multiple=8,  # NOTE: as in the paper's code; the paper's text mentions no rounding
        bn_eps=1e-3,
        bn_momentum=0.01,
    ),
}
# We train for fewer steps than the paper's authors, so batch-norm statistics must update faster.
STYLES["cifar32"] = STYLES["paper"]._replace(bn_momentum=0.1, zero_init=True)


def conv(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, bias: bool = False
) -> nn.Conv2d:
    """Build a convolution whose padding preserves height and width if the stride is 1."""
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=bias)


def norm(channels: int, style: Style) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=style.bn_eps, momentum=style.bn_momentum)


class SqueezeExcite(nn.Module):
    """Scale each channel by a gate in [0, 1] that is computed from the means of all channels."""

    def __init__(self, channels: int, style: Style) -> None:
        super().__init__()
        squeezed = round_to_multiple(channels // 4, style.se_multiple)
        self.squeeze = nn.Linear(channels, squeezed, bias=style.se_bias)
        self.excite = nn.Linear(squeezed, channels, bias=style.se_bias)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.squeeze(x.mean(dim=(2, 3))).relu()  # (N, squeezed)
        gate = nn.functional.hardsigmoid(self.excite(gate))  # (N, C)
        return x * gate[:, :, None, None]


class Bottleneck(nn.Sequential):
    """Expansion, depthwise convolution, squeeze-and-excite (if `row.se`) and projection.

    The input is added to the result if the stride is 1 and the number of channels is unchanged.
    """

    def __init__(self, row: Row, style: Style) -> None:
        parts, width = OrderedDict[str, nn.Module](), row.expanded
        if style.expand_always or width != row.inputs:
            parts["expand"] = conv(row.inputs, width, 1)
            parts["expand_norm"] = norm(width, style)
            parts["expand_activation"] = row.activation()
        parts["depthwise"] = conv(width, width, row.kernel, row.stride, groups=width)
        parts["depthwise_norm"] = norm(width, style)
        if style.activate_depthwise:
            parts["depthwise_activation"] = row.activation()
        if row.se:
            parts["se"] = SqueezeExcite(width, style)
        parts["project"] = conv(width, row.outputs, 1)
        parts["project_norm"] = norm(row.outputs, style)
        if style.activate_projection:
            parts["project_activation"] = row.activation()
        super().__init__(parts)
        self.residual = row.stride == 1 and row.inputs == row.outputs
        if self.residual and style.zero_init:
            nn.init.zeros_(parts["project_norm"].weight)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        out = super().forward(x)
        return x + out if self.residual else out


def round_to_multiple(value: int, multiple: int) -> int:
    """Round `value` to the nearest multiple of `multiple` that is at least 0.9 * `value`."""
    nearest = max(multiple, (value + multiple // 2) // multiple * multiple)
    return nearest if nearest >= 0.9 * value else nearest + multiple


def build_features(layout: Layout, style: Style) -> nn.Sequential:
    """Build the layers that map images (N, 3, H, W) to features (N, layout.last, H', W').

    H' and W' are H and W divided by 8 (in "cifar32" layouts) or 32 (in others), and rounded up.
    """
    stem = layout.rows[0].inputs
    features = OrderedDict[str, nn.Module](
        stem=conv(3, stem, 3, layout.stem_stride, bias=style.stem_bias),
        stem_norm=norm(stem, style),
        stem_activation=HS(),
        blocks=nn.Sequential(*(Bottleneck(row, style) for row in layout.rows)),
        last=conv(layout.rows[-1].outputs, layout.last, 1),
        last_norm=norm(layout.last, style),
        last_activation=HS(),
    )
    if layout.last_se:
        features["last_se"] = SqueezeExcite(layout.last, style)
    return nn.Sequential(features)


def build_head(layout: Layout, dropout: float, num_classes: int) -> nn.Sequential:
    """Build the layers after pooling. They map (N, layout.last, 1, 1) to (N, num_classes, 1, 1)."""
    hidden = [] if layout.hidden is None else [conv(layout.last, layout.hidden, 1, bias=True), HS()]
    last = conv(layout.hidden or layout.last, num_classes, 1, bias=True)
    return nn.Sequential(*hidden, nn.Dropout(dropout), last)
