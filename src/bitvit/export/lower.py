"""`torch.export` graph of a packed model -> `Graph` of Program operators.

`bitvit::*` nodes become the Program operator that their description names. The few float ATen operators between them
(additions, LayerNorm, GELU, concatenation of tokens, row selection, float linear layers, token average) have handlers
here. Anything computed from parameters alone is evaluated now and becomes a constant.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx
from torch.export import ExportedProgram

from bitvit.errors import ExportError
from bitvit.export import grid_operators, operators  # noqa: F401  (their import registers the operators)
from bitvit.export.graph import Array, Graph, GraphOp
from bitvit.export.operator_library import DESCRIPTIONS
from bitvit.program import Value

aten = torch.ops.aten

Handler = Callable[["Lowering", fx.Node], str]
_HANDLERS: dict[Any, Handler] = {}


def _handles(*targets: Any) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        _HANDLERS.update(dict.fromkeys(targets, handler))
        return handler

    return register


class Lowering:
    """State of one lowering: the graph being built, and for each node its value name or its constant."""

    def __init__(self, program: ExportedProgram) -> None:
        self.program = program
        self.graph = Graph(input="image")
        self.names: dict[fx.Node, str | list[str]] = {}
        self.constants: dict[fx.Node, Tensor] = {}

    def run(self) -> Graph:
        """Lower every node; the graph's image and output are set."""
        for node in self.program.graph.nodes:
            if node.op == "placeholder":
                self._placeholder(node)
            elif node.op == "call_function":
                self._call(node)
            elif node.op == "output":
                self.graph.output = self.value(node.args[0][0])
        self.graph.remove_dead()
        return self.graph

    def value(self, node: Any) -> str:
        """Value name of a node; a constant becomes a `constant` operator.

        Raises:
            ExportError: the value has no Program form.
        """
        if isinstance(node, fx.Node) and node in self.names:
            name = self.names[node]
            if isinstance(name, str):
                return name
        if isinstance(node, fx.Node) and node in self.constants:
            array = self.constants[node].detach().float().numpy()
            array = array[0] if array.ndim == 3 else array
            name = self.emit(node, "constant", [], Value("f32", array.shape), {}, {"value": array})
            self.names[node] = name
            return name
        raise ExportError(f"the traced model uses {node} in a way that has no Program form")

    def emit(
        self,
        node: fx.Node,
        op: str,
        inputs: list[str],
        output: Value,
        attrs: dict[str, Any] | None = None,
        tensors: dict[str, Any] | None = None,
    ) -> str:
        """Append one operator with one output, named after the node; return the output's name."""
        name = self.graph.add_value(node.name, output.type, output.shape)
        arrays = {key: np.asarray(array) for key, array in (tensors or {}).items()}
        self.graph.ops.append(GraphOp(op, inputs, [name], attrs or {}, arrays, scope_of(node)))
        return name

    def is_constant(self, node: Any) -> bool:
        """Return whether a node, or an argument, is known without an image."""
        return not isinstance(node, fx.Node) or node in self.constants

    def vector(self, node: fx.Node, length: int) -> np.ndarray[Any, Any]:
        """A constant argument as float32 `[length]`."""
        return np.broadcast_to(self.constants[node].detach().float().numpy().reshape(-1), (length,)).copy()

    def _placeholder(self, node: fx.Node) -> None:
        signature = self.program.graph_signature
        name = node.name
        for table in (signature.inputs_to_parameters, signature.inputs_to_buffers):
            if name in table:
                target = table[name]
                tensor = self.program.state_dict.get(target)
                self.constants[node] = self.program.constants[target] if tensor is None else tensor
                return
        if name in signature.inputs_to_lifted_tensor_constants:
            self.constants[node] = self.program.constants[signature.inputs_to_lifted_tensor_constants[name]]
            return
        shape = tuple(int(n) for n in node.meta["val"].shape[1:])
        self.names[node] = self.graph.add_value("image", "u8", shape)

    def _call(self, node: fx.Node) -> None:
        arguments = [*node.all_input_nodes]
        if all(argument in self.constants for argument in arguments):
            self._fold(node)
            return
        namespace, _, name = str(node.target).partition(".")
        if namespace == "bitvit":
            self.names[node] = self._bitvit(node, name.partition(".")[0])
            return
        handler = _HANDLERS.get(node.target)
        if handler is None:
            raise ExportError(f"{node.target} at {scope_of(node) or 'the top of the model'} has no Program operator")
        self.names[node] = handler(self, node)

    def _fold(self, node: fx.Node) -> None:
        """Evaluate a node whose inputs are all constants."""
        arguments = fx.node.map_arg(node.args, lambda n: self.constants[n])
        keywords = fx.node.map_arg(node.kwargs, lambda n: self.constants[n])
        self.constants[node] = node.target(*arguments, **keywords)  # type: ignore[operator]

    def _bitvit(self, node: fx.Node, name: str) -> str | list[str]:
        nodes: dict[int, fx.Node] = {}

        def fake(argument: fx.Node) -> Any:
            value = argument.meta["val"]
            nodes[id(value)] = argument
            return value

        call = DESCRIPTIONS[name](*fx.node.map_arg(node.args, fake))
        inputs = [self.value(nodes[id(tensor)]) for tensor, _ in call.inputs]
        tensors = {key: self.constants[nodes[id(tensor)]].detach().numpy() for key, tensor in call.tensors.items()}
        outputs = [self.graph.add_value(node.name, value.type, value.shape) for value in call.outputs]
        self.graph.ops.append(GraphOp(call.op, inputs, outputs, call.attrs, tensors, scope_of(node)))
        return outputs[0] if len(outputs) == 1 else outputs


def scope_of(node: fx.Node) -> str:
    """Module path that a node was traced in, such as `blocks.0.attn.proj`."""
    stack = node.meta.get("nn_module_stack") or {}
    paths = [path for path, _ in stack.values()]
    path = paths[-1] if paths else ""
    for prefix in ("L['self'].", "model.", "_orig_mod."):
        path = path.removeprefix(prefix)
    return "" if path in ("model", "L['self']") else path


def _shape(node: fx.Node) -> tuple[int, ...]:
    """Shape without batch as rows and channels; a `[B,C]` tensor is one row, a map `[B,H,W,C]` has H W rows."""
    shape = tuple(int(n) for n in node.meta["val"].shape)
    if len(shape) == 4:
        return (shape[1] * shape[2], shape[3])
    return (1, shape[1]) if len(shape) == 2 else shape[1:]


def _f32(node: fx.Node) -> Value:
    return Value("f32", _shape(node))


@_handles(operator.getitem)
def _getitem(lowering: Lowering, node: fx.Node) -> str:
    names = lowering.names[node.args[0]]  # type: ignore[index]
    return names[node.args[1]]  # type: ignore[index]


@_handles(
    aten.dropout.default, aten.alias.default, aten.contiguous.default, aten.clone.default, aten.detach.default,
    aten._to_copy.default, aten.to.dtype, aten.to.dtype_layout, aten._assert_tensor_metadata.default,
)  # fmt: skip
def _identity(lowering: Lowering, node: fx.Node) -> str:
    return lowering.value(node.args[0])


@_handles(
    aten.unsqueeze.default, aten.squeeze.dim, aten.view.default, aten.reshape.default, aten.expand.default,
    aten.flatten.using_ints, aten.unflatten.int, aten._unsafe_view.default,
)  # fmt: skip
def _same_rows(lowering: Lowering, node: fx.Node) -> str:
    """`[B,C]` and `[B,1,C]` are the same row, `[B,H,W,C]` and `[B,H W,C]` the same rows; others are `reshape_rows`."""
    source: Any = node.args[0]
    if _shape(source) == _shape(node):
        return lowering.value(source)
    old, new = source.meta["val"].shape, node.meta["val"].shape
    if old[0] != new[0] or old.numel() != new.numel() or np.prod(_shape(source)) != np.prod(_shape(node)):
        raise ExportError(f"{node.target} at {scope_of(node)} rearranges {_shape(source)} to {_shape(node)}")
    return lowering.emit(node, "reshape_rows", [lowering.value(source)], _f32(node), {"rows": _shape(node)[0]})


@_handles(aten.add.Tensor, aten.add_.Tensor)
def _add(lowering: Lowering, node: fx.Node) -> str:
    left, right = node.args[0], node.args[1]
    if node.kwargs.get("alpha", 1) != 1:
        raise ExportError(f"addition with alpha at {scope_of(node)} has no Program operator")
    if lowering.is_constant(left):
        left, right = right, left
    if not lowering.is_constant(right):
        inputs = [lowering.value(left), lowering.value(right)]
        if _shape(left) != _shape(right):  # type: ignore[arg-type]
            raise ExportError(f"addition with broadcasting at {scope_of(node)} has no Program operator")
        return lowering.emit(node, "add", inputs, _f32(node))
    return _added_constant(lowering, node, lowering.value(left), _array(lowering, right))


@_handles(aten.sub.Tensor, aten.rsub.Scalar)
def _subtract(lowering: Lowering, node: fx.Node) -> str:
    """`x - c` as `x + (-c)`, `x - y` as `x + (-1) y`, `c - x` as `(-1) x + c`."""
    left, right = node.args[0], node.args[1]
    if node.target is aten.rsub.Scalar:
        left, right = right, left
    if node.kwargs.get("alpha", 1) != 1 or len(node.args) > 2:
        raise ExportError(f"subtraction with alpha at {scope_of(node)} has no Program operator")
    if lowering.is_constant(right):
        return _added_constant(lowering, node, lowering.value(left), -_array(lowering, right))
    if lowering.is_constant(left):
        negative = _scaled(lowering, node, right, np.float32(-1.0))
        return _added_constant(lowering, node, negative, _array(lowering, left))
    if _shape(left) != _shape(right):  # type: ignore[arg-type]
        raise ExportError(f"subtraction with broadcasting at {scope_of(node)} has no Program operator")
    negative = _scaled(lowering, node, right, np.float32(-1.0))
    return lowering.emit(node, "add", [lowering.value(left), negative], _f32(node))


def _array(lowering: Lowering, constant: Any) -> Array:
    """A constant argument, tensor or number, as float32."""
    if isinstance(constant, fx.Node):
        return lowering.constants[constant].detach().float().numpy()
    return np.asarray(constant, np.float32)


def _added_constant(lowering: Lowering, node: fx.Node, source: str, constant: Array) -> str:
    """The constant is one vector for all rows where it varies along the channels only."""
    full = np.broadcast_to(constant, tuple(node.meta["val"].shape)).reshape(_shape(node))
    value = full[0] if constant.size == 1 or constant.shape[-1] == constant.size else full
    return lowering.emit(node, "add_constant", [source], _f32(node), {}, {"value": value.copy()})


def _scaled(lowering: Lowering, node: fx.Node, source: Any, scale: Any) -> str:
    channels = _shape(node)[-1]
    if scale.size != 1 and (scale.size != channels or scale.shape[-1] != channels):
        raise ExportError(f"{node.target} at {scope_of(node)} is not by a scalar or by one factor per channel")
    tensors = {
        "scale": np.broadcast_to(scale.astype(np.float32).reshape(-1), (channels,)).copy(),
        "bias": np.zeros(channels, np.float32),
    }
    return lowering.emit(node, "affine", [lowering.value(source)], _f32(node), {}, tensors)


@_handles(aten.mul.Tensor, aten.div.Tensor)
def _multiply(lowering: Lowering, node: fx.Node) -> str:
    """Multiplication or division by a constant scalar or channel vector."""
    left, right = node.args[0], node.args[1]
    if lowering.is_constant(left) and node.target is aten.mul.Tensor:
        left, right = right, left
    if not lowering.is_constant(right):
        raise ExportError(f"{node.target} of two activations at {scope_of(node)} has no Program operator")
    factor = lowering.constants[right].detach().numpy() if isinstance(right, fx.Node) else np.asarray(right)
    factor = factor.astype(np.float64)
    return _scaled(lowering, node, left, 1.0 / factor if node.target is aten.div.Tensor else factor)


@_handles(aten.layer_norm.default)
def _layer_norm(lowering: Lowering, node: fx.Node) -> str:
    source, normalized, weight, bias, *rest = [*node.args, None, None][: max(len(node.args), 4)]
    channels = _shape(node)[-1]
    if list(normalized) != [channels]:  # type: ignore[arg-type]
        raise ExportError(f"LayerNorm at {scope_of(node)} is not over the channels")
    eps = float(rest[0]) if rest and rest[0] is not None else 1e-5  # type: ignore[arg-type]
    tensors = {
        "weight": lowering.vector(weight, channels) if isinstance(weight, fx.Node) else np.ones(channels, np.float32),
        "bias": lowering.vector(bias, channels) if isinstance(bias, fx.Node) else np.zeros(channels, np.float32),
    }
    return lowering.emit(node, "layer_norm", [lowering.value(source)], _f32(node), {"eps": eps}, tensors)


@_handles(aten.gelu.default)
def _gelu(lowering: Lowering, node: fx.Node) -> str:
    if node.kwargs.get("approximate", "none") != "none":
        raise ExportError(f"GELU at {scope_of(node)} is the tanh form; the Program has the erf form")
    return lowering.emit(node, "gelu", [lowering.value(node.args[0])], _f32(node))


@_handles(aten.relu.default, aten.relu_.default, aten.leaky_relu.default)
def _relu(lowering: Lowering, node: fx.Node) -> str:
    channels = _shape(node)[-1]
    slope: Any = 0.0
    if node.target is aten.leaky_relu.default:
        slope = node.args[1] if len(node.args) > 1 else 0.01
    zeros = np.zeros(channels, np.float32)
    tensors = {"before": zeros, "slope": np.full(channels, slope, np.float32), "after": zeros}
    return lowering.emit(node, "rprelu", [lowering.value(node.args[0])], _f32(node), {}, tensors)


@_handles(aten.batch_norm.default)
def _batch_norm(lowering: Lowering, node: fx.Node) -> str:
    """In evaluation, on pooled features `[B,C]`: there the channels are torch's second axis and the Program's last."""
    source, weight, bias, mean, var, training, _, eps, *_ = node.args
    if training or len(node.meta["val"].shape) != 2:
        raise ExportError(f"BatchNorm at {scope_of(node)} is not over the last axis: use bitvit's TokenBatchNorm")
    scale = 1.0 / np.sqrt(_array(lowering, var).astype(np.float64) + float(eps))  # type: ignore[arg-type]
    scale = scale if weight is None else scale * _array(lowering, weight)
    shift = (0.0 if bias is None else _array(lowering, bias)) - _array(lowering, mean) * scale
    tensors = {"scale": scale.astype(np.float32), "bias": shift.astype(np.float32)}
    return lowering.emit(node, "affine", [lowering.value(source)], _f32(node), {}, tensors)


@_handles(aten.linear.default)
def _linear(lowering: Lowering, node: fx.Node) -> str:
    weight = lowering.constants[node.args[1]].detach().float().numpy()  # type: ignore[index]
    bias = node.args[2] if len(node.args) > 2 else None
    tensors = {
        "weight": weight,
        "bias": lowering.vector(bias, len(weight)) if isinstance(bias, fx.Node) else np.zeros(len(weight), np.float32),
    }
    return lowering.emit(node, "linear_f32", [lowering.value(node.args[0])], _f32(node), {}, tensors)


@_handles(aten.cat.default)
def _cat(lowering: Lowering, node: fx.Node) -> str:
    parts = node.args[0]
    if len(node.args) < 2 or node.args[1] not in (1, -2):
        raise ExportError(f"concatenation at {scope_of(node)} is not over tokens")
    return lowering.emit(node, "concat_rows", [lowering.value(part) for part in parts], _f32(node))  # type: ignore[union-attr]


@_handles(aten.select.int)
def _select(lowering: Lowering, node: fx.Node) -> str:
    source, dim, index = node.args
    n_rows = _shape(source)[0]  # type: ignore[arg-type]
    if dim not in (1, -2):
        raise ExportError(f"selection at {scope_of(node)} is not of a token")
    start = int(index) % n_rows  # type: ignore[arg-type]
    return lowering.emit(node, "slice_rows", [lowering.value(source)], _f32(node), {"start": start, "stop": start + 1})


@_handles(aten.slice.Tensor)
def _slice(lowering: Lowering, node: fx.Node) -> str:
    defaults: list[Any] = [None, 0, 0, 2**62, 1]
    arguments: list[Any] = [*node.args, *defaults[len(node.args) :]]
    source, dim, start, stop, step = arguments
    if dim == 0:
        return lowering.value(source)
    if dim not in (1, -2) or step != 1:
        raise ExportError(f"slice at {scope_of(node)} is not over tokens")
    n_rows = _shape(source)[0]
    first, last, _ = slice(start, stop).indices(n_rows)
    if (first, last) == (0, n_rows):
        return lowering.value(source)
    return lowering.emit(node, "slice_rows", [lowering.value(source)], _f32(node), {"start": first, "stop": last})


@_handles(aten.pad.default, aten.constant_pad_nd.default)
def _pad(lowering: Lowering, node: fx.Node) -> str:
    """Rows of zeros in front."""
    source, padding = node.args[0], list(node.args[1])  # type: ignore[arg-type]
    if len(padding) != 4 or any(padding[i] for i in (0, 1, 3)) or any(node.args[2:]) or node.kwargs.get("value"):
        raise ExportError(f"padding at {scope_of(node)} is not rows of zeros in front")
    if padding[2] == 0:
        return lowering.value(source)
    zeros = np.zeros((int(padding[2]), _shape(node)[-1]), np.float32)
    front = lowering.emit(node, "constant", [], Value("f32", zeros.shape), {}, {"value": zeros})
    return lowering.emit(node, "concat_rows", [front, lowering.value(source)], _f32(node))


@_handles(aten.mean.dim)
def _mean(lowering: Lowering, node: fx.Node) -> str:
    rank = len(node.args[0].meta["val"].shape)  # type: ignore[union-attr]
    axes = [axis % rank for axis in node.args[1]]  # type: ignore[union-attr, operator]
    if rank not in (3, 4) or sorted(axes) != list(range(1, rank - 1)):
        raise ExportError(f"mean at {scope_of(node)} is not over tokens")
    return lowering.emit(node, "mean_rows", [lowering.value(node.args[0])], Value("f32", (1, _shape(node)[-1])))
