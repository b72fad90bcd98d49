#include "image/filters.h"

#include <algorithm>
#include <cmath>

namespace bitvit {
namespace {

double Box(double x) { return x > -0.5 && x <= 0.5 ? 1.0 : 0.0; }

double Bilinear(double x) {
  x = std::fabs(x);
  return x < 1.0 ? 1.0 - x : 0.0;
}

// The cubic convolution with a = -1/2.
double Bicubic(double x) {
  constexpr double a = -0.5;
  x = std::fabs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  return x < 2.0 ? (((x - 5) * x + 8) * x - 4) * a : 0.0;
}

// sin(pi x) for |x| < 4, without libm, whose last bit differs between systems: the Taylor series on |t| <= pi / 2.
double SinPi(double x) {
  const double nearest = std::floor(x + 0.5);
  const double t = (x - nearest) * 3.14159265358979323846;
  const double square = t * t;
  double sum = 1.0;
  for (int k = 22; k >= 2; k -= 2) sum = 1.0 - sum * square / (k * (k + 1));
  const bool is_odd = (static_cast<int>(nearest) & 1) != 0;
  return is_odd ? -(t * sum) : t * sum;
}

double Sinc(double x) { return x == 0.0 ? 1.0 : SinPi(x) / (x * 3.14159265358979323846); }

// The sinc within its third lobe.
double Lanczos(double x) { return -3.0 <= x && x < 3.0 ? Sinc(x) * Sinc(x / 3) : 0.0; }

struct Filter {
  double (*function)(double);
  double support;
};

Filter FilterOf(Interpolation interpolation) {
  switch (interpolation) {
    case Interpolation::kBilinear:
      return {Bilinear, 1.0};
    case Interpolation::kBicubic:
      return {Bicubic, 2.0};
    case Interpolation::kLanczos:
      return {Lanczos, 3.0};
    default:
      return {Box, 0.5};
  }
}

int32_t Fixed(double weight) {
  const double scaled = weight * (1 << kWeightBits);
  return static_cast<int32_t>(weight < 0 ? scaled - 0.5 : scaled + 0.5);
}

Error NoMemory() { return {ErrorCode::kOutOfMemory, "there is not enough memory to resize the image"}; }

}  // namespace

std::optional<Interpolation> InterpolationNamed(const std::string& name) {
#define BITVIT_INTERPOLATION(known, id) \
  if (name == #known) return Interpolation::id;
  BITVIT_INTERPOLATIONS(BITVIT_INTERPOLATION)
#undef BITVIT_INTERPOLATION
  return std::nullopt;
}

Result<AxisWeights> MakeAxisWeights(Interpolation interpolation, const AxisWindow& window) {
  const Filter filter = FilterOf(interpolation);
  const double scale = static_cast<double>(window.n_in) / static_cast<double>(window.n_out);
  const double filter_scale = std::max(scale, 1.0);
  const double support = filter.support * filter_scale;
  const double inverse = 1.0 / filter_scale;
  const auto most = static_cast<size_t>(std::ceil(support)) * 2 + 1;
  const uint64_t table_bytes = AlignUp(window.count * 2 * sizeof(uint32_t));
  const uint64_t n_bytes = table_bytes + most * sizeof(double) + uint64_t{window.count} * most * sizeof(int32_t);
  AxisWeights result{};
  if (n_bytes > SIZE_MAX / 2 || !result.buffer.Allocate(static_cast<size_t>(n_bytes))) return NoMemory();
  auto* const starts = result.buffer.as<uint32_t>();
  uint32_t* const counts = starts + window.count;
  auto* const exact = reinterpret_cast<double*>(result.buffer.data() + table_bytes);
  auto* const weights = reinterpret_cast<int32_t*>(exact + most);
  for (size_t i = 0; i < window.count; ++i) {
    const double center = (static_cast<double>(window.first + i) + 0.5) * scale;
    const double low = std::max(std::trunc(center - support + 0.5), 0.0);
    const double high = std::min(std::trunc(center + support + 0.5), static_cast<double>(window.n_in));
    const auto count = static_cast<size_t>(high - low);
    double sum = 0.0;
    for (size_t k = 0; k < count; ++k) {
      exact[k] = filter.function((static_cast<double>(k) + low - center + 0.5) * inverse);
      sum += exact[k];
    }
    for (size_t k = 0; k < count; ++k) weights[i * most + k] = Fixed(sum != 0.0 ? exact[k] / sum : exact[k]);
    starts[i] = static_cast<uint32_t>(low);
    counts[i] = static_cast<uint32_t>(count);
  }
  result.starts = starts;
  result.counts = counts;
  result.weights = weights;
  result.stride = most;
  return result;
}

Result<AlignedBuffer> MakeNearestInputs(const AxisWindow& window) {
  AlignedBuffer buffer;
  if (!buffer.Allocate(window.count * sizeof(uint32_t))) return NoMemory();
  const double step = static_cast<double>(window.n_in) / static_cast<double>(window.n_out);
  double place = step * 0.5;
  for (size_t i = 0; i < window.first; ++i) place += step;
  for (size_t i = 0; i < window.count; ++i, place += step) {
    buffer.as<uint32_t>()[i] = static_cast<uint32_t>(std::min(std::trunc(place), static_cast<double>(window.n_in)));
  }
  return buffer;
}

}  // namespace bitvit
