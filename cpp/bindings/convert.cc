#include "bindings/convert.h"

#include <nanobind/stl/string.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "base/aligned_buffer.h"
#include "base/text.h"
#include "bindings/errors.h"

namespace nb = nanobind;

namespace bitvit {
namespace {

constexpr int kMaxDepth = 8;

Attribute ToAttribute(nb::handle object, int depth = 0) {
  if (nb::isinstance<nb::bool_>(object)) return Attribute{nb::cast<bool>(object)};
  if (nb::isinstance<nb::int_>(object)) {
    long long value = 0;
    if (nb::try_cast<long long>(object, value)) return Attribute{value};
    const double number = PyLong_AsDouble(object.ptr());  // as a JSON reader does with a large integer
    if (PyErr_Occurred() == nullptr) return Attribute{number};
    PyErr_Clear();
    throw PythonError({ErrorCode::kNonFinite, "an integer attribute is beyond binary64"});
  }
  if (nb::isinstance<nb::float_>(object)) return Attribute{nb::cast<double>(object)};
  if (nb::isinstance<nb::str>(object)) return Attribute{nb::cast<std::string>(object)};
  if (depth < kMaxDepth && (nb::isinstance<nb::list>(object) || nb::isinstance<nb::tuple>(object))) {
    AttributeList list;
    for (nb::handle item : object) list.push_back(ToAttribute(item, depth + 1));
    return Attribute{std::move(list)};
  }
  throw PythonError(
      {ErrorCode::kOperatorAttribute, "an attribute is neither a number, a string, true, false nor a list of these"});
}

DataType ToDataType(const nb::dlpack::dtype& type, const std::string& name) {
  if (type == nb::dtype<float>()) return DataType::kF32;
  if (type == nb::dtype<int32_t>()) return DataType::kI32;
  if (type == nb::dtype<int16_t>()) return DataType::kI16;
  if (type == nb::dtype<int8_t>()) return DataType::kI8;
  if (type == nb::dtype<uint8_t>()) return DataType::kU8;
  throw PythonError(
      {ErrorCode::kTensorType, "tensor " + Quoted(name) + " is not float32, int32, int16, int8 or uint8"});
}

Tensor ToTensor(nb::handle object, const std::string& name) {
  InputArray array;
  if (!nb::try_cast<InputArray>(object, array, false)) {
    throw PythonError({ErrorCode::kTensorType, "tensor " + Quoted(name) + " is not a C-contiguous array of numbers"});
  }
  Tensor tensor{ToDataType(array.dtype(), name), {}, nullptr, nullptr};
  for (size_t i = 0; i < array.ndim(); ++i) tensor.shape.push_back(array.shape(i));
  auto copy = std::make_shared<AlignedBuffer>(array.nbytes());
  if (array.nbytes() != 0) std::memcpy(copy->data(), array.data(), array.nbytes());
  tensor.data = copy->data();
  tensor.owner = std::move(copy);
  return tensor;
}

}  // namespace

std::vector<long long> ToShape(nb::handle sizes) {
  std::vector<long long> shape;
  for (nb::handle size : sizes) {
    const nb::object whole = nb::steal(PyIndex_Check(size.ptr()) ? PyNumber_Index(size.ptr()) : nullptr);
    if (!whole.is_valid()) {
      PyErr_Clear();
      shape.push_back(-1);
      continue;
    }
    int beyond = 0;  // 1: too large, -1: too small
    const long long number = PyLong_AsLongLongAndOverflow(whole.ptr(), &beyond);
    using Limits = std::numeric_limits<long long>;
    shape.push_back(beyond == 0 ? number : beyond > 0 ? Limits::max() : Limits::min());
  }
  return shape;
}

std::map<std::string, Attribute> ToAttributes(const nb::dict& attributes) {
  std::map<std::string, Attribute> result;
  for (auto [key, value] : attributes) result.emplace(nb::cast<std::string>(key), ToAttribute(value));
  return result;
}

std::map<std::string, Tensor> ToTensors(const nb::dict& tensors) {
  std::map<std::string, Tensor> result;
  for (auto [key, value] : tensors) {
    const std::string name = nb::cast<std::string>(key);
    result.emplace(name, ToTensor(value, name));
  }
  return result;
}

}  // namespace bitvit
