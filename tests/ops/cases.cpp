#include "cases.h"

#include <mica/core/safetensors.h>

namespace mica::test {

const std::vector<OpCase>& stored_cases() {
  static const std::vector<OpCase> cases = [] {
    const Safetensors file = load_safetensors(MICA_TEST_VECTORS "/ops.safetensors");
    std::map<std::string, OpCase> by_id;
    for (const auto& [id, text] : file.metadata) by_id[id] = {id, Attributes::parse(text), {}, {}, {}};
    for (const auto& [key, tensor] : file.tensors) {
      const std::size_t dot = key.find('.', key.find('.') + 1);  // ids are <op>.<number>
      OpCase& c = by_id.at(key.substr(0, dot));
      const std::string name = key.substr(dot + 1);
      if (name == "output") c.expected.output = tensor;
      else if (name == "grad_output") c.grad_output = tensor;
      else if (name.rfind("grad.", 0) == 0) c.expected.gradients[name.substr(5)] = tensor;
      else if (name.rfind("after.", 0) == 0) c.expected.buffers[name.substr(6)] = tensor;
      else c.arguments[name] = tensor;
    }
    std::vector<OpCase> all;
    for (auto& [id, c] : by_id) all.push_back(std::move(c));
    return all;
  }();
  return cases;
}

std::string describe(const OpCase& c) {
  std::string text = c.id + " " + c.attributes.dump();
  for (const auto& [name, value] : c.arguments) text += " " + name + " " + to_string(value.shape());
  return text;
}

}  // namespace mica::test
