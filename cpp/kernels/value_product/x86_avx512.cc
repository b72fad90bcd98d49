// One plane of signs and few keys (few_keys_avx512.inl), else a byte a lane for a few hundred keys (bytes_avx512.inl),
// else 32 bits (lanes_avx512.inl).
#include "kernels/value_product/bytes_avx512.inl"
#include "kernels/value_product/few_keys_avx512.inl"
#include "kernels/value_product/lanes_avx512.inl"

namespace bitvit::avx512 {
namespace {

size_t packed_bytes(const ValueShape& shape) {
  if (has_few_keys(shape)) return few_packed_bytes(shape);
  return has_byte_lanes(shape) ? byte_packed_bytes(shape) : lane_packed_bytes(shape);
}

void pack(const uint64_t* planes, const ValueShape& shape, size_t head, void* packed) {
  const auto run = has_few_keys(shape) ? pack_few : has_byte_lanes(shape) ? pack_bytes : pack_in_lanes;
  run(planes, shape, head, packed);
}

size_t scratch_bytes(const ValueShape& shape) {
  if (has_few_keys(shape)) return 0;
  return has_byte_lanes(shape) ? byte_scratch_bytes(shape) : lane_scratch_bytes(shape);
}

void product(const uint64_t* masks, const void* packed, const ValueShape& shape, const float* row_scale,
             const float* column_scale, size_t head, size_t first, size_t n_rows, float* y, void* scratch) {
  const auto run = has_few_keys(shape) ? product_few : has_byte_lanes(shape) ? product_bytes : product_in_lanes;
  run(masks, packed, shape, row_scale, column_scale, head, first, n_rows, y, scratch);
}

}  // namespace
}  // namespace bitvit::avx512

#include "kernels/value_product/value_product.inl"
