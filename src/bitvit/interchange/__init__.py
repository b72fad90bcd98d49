"""A packed network in other formats: ONNX, for inspection and for machines without bitvit."""

from bitvit.interchange.onnx_export import OnnxAgreement, compare_with_engine, to_onnx, write_onnx

__all__ = ["OnnxAgreement", "compare_with_engine", "to_onnx", "write_onnx"]
