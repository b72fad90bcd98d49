// `verdicts FILE...` prints a line for each .bitvit file: the name of the error and its message, or `ok` and the digest
// (FNV-1a) of the output for an image whose byte i is 31 i. For machines without Python (tests/everywhere).
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "engine/program_builder.h"
#include "program/model.h"

namespace {

std::string Verdict(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  const auto bytes = std::make_shared<std::vector<char>>((std::istreambuf_iterator<char>(stream)),
                                                         std::istreambuf_iterator<char>());
  const auto model = bitvit::ReadModel(reinterpret_cast<const std::byte*>(bytes->data()), bytes->size(), bytes);
  if (!model.ok()) return std::string(bitvit::ErrorName(model.error().code)) + " " + model.error().message;
  const bitvit::Program& program = (*model)->program;
  const auto engine = bitvit::BuildEngine(program, (*model)->tensors, {program.output}, 1, "");
  if (!engine.ok()) return "no engine: " + engine.error().message;
  std::vector<std::byte> image((*engine)->input(0).stored_size_bytes());
  for (size_t i = 0; i < image.size(); ++i) image[i] = static_cast<std::byte>(31 * i & 255);
  std::vector<std::byte> output((*engine)->output(0).stored_size_bytes());
  bitvit::Interrupt never;
  if ((*engine)->Run({image.data()}, {output.data()}, 1, never) != bitvit::RunOutcome::kDone) return "did not run";
  uint64_t digest = 0xcbf29ce484222325;
  for (const std::byte byte : output) digest = (digest ^ static_cast<uint64_t>(byte)) * 0x100000001b3;
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(digest));
  return std::string("ok ") + text;
}

}  // namespace

int main(int n_arguments, char** arguments) {
  for (int i = 1; i < n_arguments; ++i) std::printf("%s\n", Verdict(arguments[i]).c_str());
  return 0;
}
