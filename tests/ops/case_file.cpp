#include "case_file.h"

#include <mica/core/error.h>
#include <mica/core/memory.h>

#include <fmt/format.h>

namespace mica::test {
namespace {

// The case that a tensor's key begins with: ids may have dots, so the longest id counts.
FileCase& owner(std::map<std::string, FileCase>& cases, const std::string& key) {
  for (std::size_t dot = key.rfind('.'); dot != std::string::npos && dot > 0; dot = key.rfind('.', dot - 1)) {
    const auto found = cases.find(key.substr(0, dot));
    if (found != cases.end()) return found->second;
  }
  throw FileError(fmt::format("tensor '{}' belongs to no case: no metadata has a key that it begins with", key));
}

void run(const FileCase& c, Device device, Safetensors& answers) {
  const auto answer = [&](const std::string& name, const Tensor& x) { answers.tensors.emplace_back(c.id + "." + name, x.detach()); };
  const OpResult result = run_op(Attributes::parse(c.text), c.arguments, c.grad_outputs, device);
  for (const auto& [name, x] : result.outputs) answer(name, x);
  for (const auto& [name, x] : result.gradients) answer("grad." + name, x);
  for (const auto& [name, x] : result.buffers) answer(name, x);
}

// What a failed case left for the device to find out of range must not be blamed on the next.
void settle(Device device) {
  try {
    synchronize(device);
  } catch (const Error&) {
  }
}

}  // namespace

std::vector<FileCase> read_cases(const Safetensors& file) {
  std::map<std::string, FileCase> by_id;
  for (const auto& [id, text] : file.metadata) by_id[id] = {id, text, {}, {}};
  for (const auto& [key, tensor] : file.tensors) {
    FileCase& c = owner(by_id, key);
    const std::string name = key.substr(c.id.size() + 1);
    if (name.rfind("grad_output", 0) == 0) c.grad_outputs["output" + name.substr(11)] = tensor;
    else c.arguments[name] = tensor;
  }
  std::vector<FileCase> cases;
  for (auto& [id, c] : by_id) cases.push_back(std::move(c));
  return cases;
}

Safetensors run_cases(const std::vector<FileCase>& cases, Device device) {
  Safetensors answers;
  for (const FileCase& c : cases) {
    const std::size_t before = answers.tensors.size();
    try {
      run(c, device, answers);
    } catch (const nlohmann::json::exception& error) {
      answers.metadata[c.id + ".error"] = fmt::format("'{}' is not a case in JSON: {}", c.text, error.what());
    } catch (const std::exception& error) {
      answers.tensors.resize(before);
      answers.metadata[c.id + ".error"] = error.what();
      settle(device);
    }
  }
  return answers;
}

}  // namespace mica::test
