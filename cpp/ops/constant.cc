#include <cstring>

#include "ops/operands.h"
#include "ops/operator.h"

namespace bitvit {

namespace {

class Constant final : public Operator {
 public:
  explicit Constant(const Operands& operands)
      : value_(operands.Floats("value")), size_bytes_(operands.output(0).size_bytes()) {}
  void Run(const RunContext& context) const override {
    std::memcpy(context.output<std::byte>(0), value_.data(), size_bytes_);
  }

 private:
  AlignedBuffer value_;
  size_t size_bytes_;
};

}  // namespace

BITVIT_OPERATOR(constant) {
  op.Parameter("value", "f32 [...]").Output("y", "f32 [...]").OnlyMoves();
  op.MakeWith<Constant>();
}

}  // namespace bitvit
