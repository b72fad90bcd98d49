// Runs engines for tests that run elsewhere: under an emulator, in Node. Reads requests from standard input and writes
// answers to standard output; each is its length (8 bytes, little-endian) and its content.
//
// A request is a safetensors container: `program` (JSON, docs/format.md, of which only the form is checked), `inputs`
// and `outputs` (names of values, separated by spaces), `threads`, `isa`, `batch`; the parameters, and the tensors
// "input 0", "input 1", ... An answer is a zero byte and the outputs, one behind the other, or a byte 1 and the name
// and the message of an error. The request `isas` is answered by the instruction sets that there are.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string>
#include <vector>

#if defined(_WIN32)
#include <fcntl.h>
#include <io.h>
#endif

#include "base/isa.h"
#include "engine/program_builder.h"
#include "program/container.h"
#include "program/program.h"

namespace bitvit {
namespace {

using Bytes = std::vector<std::byte>;

Result<std::vector<long long>> NumbersOf(const Program& program, const std::string& names) {
  std::vector<long long> numbers;
  std::istringstream stream(names);
  for (std::string name; stream >> name;) {
    size_t i = 0;
    while (i < program.value_names.size() && program.value_names[i] != name) ++i;
    if (i == program.value_names.size()) return Error{ErrorCode::kValueDefinition, "no value " + name};
    numbers.push_back(static_cast<long long>(i));
  }
  return numbers;
}

Result<Bytes> Answer(const Bytes& request) {
  BITVIT_ASSIGN(Container container, ReadContainer(request.data(), request.size(), nullptr));
  std::map<std::string, std::string>& fields = container.metadata;
  BITVIT_ASSIGN(const Program program, ReadProgram(fields["program"]));
  ProgramBuilder builder;
  for (const Value& value : program.values) BITVIT_TRY(builder.AddValue(value));
  for (const ProgramOperator& op : program.operators) {
    std::map<std::string, Tensor> tensors;
    for (const auto& [parameter, name] : op.tensors) tensors.emplace(parameter, container.tensors[name]);
    BITVIT_TRY(builder.AddOperator(op.kind, {op.inputs.begin(), op.inputs.end()},
                                   {op.outputs.begin(), op.outputs.end()}, op.attributes, std::move(tensors)));
  }
  BITVIT_ASSIGN(const std::vector<long long> inputs, NumbersOf(program, fields["inputs"]));
  BITVIT_ASSIGN(const std::vector<long long> outputs, NumbersOf(program, fields["outputs"]));
  BITVIT_ASSIGN(const std::unique_ptr<Engine> engine,
                builder.Build(inputs, outputs, std::atoll(fields["threads"].c_str()), fields["isa"]));
  const auto batch = static_cast<size_t>(std::atoll(fields["batch"].c_str()));
  std::vector<const std::byte*> data;
  for (size_t i = 0; i < inputs.size(); ++i) {
    data.push_back(static_cast<const std::byte*>(container.tensors["input " + std::to_string(i)].data));
  }
  // In blocks of their own, so that a sanitizer or an emulator notices writing beyond one.
  std::vector<Bytes> results;
  std::vector<std::byte*> places;
  for (size_t i = 0; i < outputs.size(); ++i) results.emplace_back(batch * engine->output(i).stored_size_bytes());
  for (Bytes& result : results) places.push_back(result.data());
  Interrupt never;
  if (engine->Run(data, places, batch, never) != RunOutcome::kDone) {
    return Error{ErrorCode::kOutOfMemory, "not enough memory to run"};
  }
  Bytes answer(1);
  for (const Bytes& result : results) answer.insert(answer.end(), result.begin(), result.end());
  return answer;
}

Bytes WithStatus(char status, const std::string& text) {
  Bytes answer(1 + text.size());
  answer[0] = static_cast<std::byte>(status);
  std::memcpy(answer.data() + 1, text.data(), text.size());
  return answer;
}

Bytes Reply(const Bytes& request) {
  if (request.size() == 4 && std::memcmp(request.data(), "isas", 4) == 0) {
    std::string names;
    for (const Isa isa : AvailableIsas()) names += std::string(IsaName(isa)) + " ";
    return WithStatus(0, names);
  }
  Result<Bytes> answer = Answer(request);
  if (answer.ok()) return std::move(answer).value();
  return WithStatus(1, std::string(ErrorName(answer.error().code)) + " " + answer.error().message);
}

}  // namespace
}  // namespace bitvit

int main() {
#if defined(_WIN32)  // whose streams else change the ends of lines
  _setmode(_fileno(stdin), _O_BINARY);
  _setmode(_fileno(stdout), _O_BINARY);
#endif
  uint64_t size = 0;
  while (std::fread(&size, sizeof(size), 1, stdin) == 1) {
    bitvit::Bytes request(static_cast<size_t>(size));
    if (std::fread(request.data(), 1, request.size(), stdin) != request.size()) return 1;
    const bitvit::Bytes answer = bitvit::Reply(request);
    size = answer.size();
    std::fwrite(&size, sizeof(size), 1, stdout);
    std::fwrite(answer.data(), 1, answer.size(), stdout);
    std::fflush(stdout);
  }
  return 0;
}
