#include <mica/core/error.h>
#include <mica/core/nearest.h>
#include <mica/core/settings.h>

#ifdef MICA_CUDA
#include <mica/kernels/cuda/by_cudnn.h>
#include <mica/kernels/cuda/cublas.h>
#endif

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

namespace mica {

using kernels::library_op_names;

namespace {

std::string meant(std::string_view op) {
  const std::string nearest = nearest_name(std::string(op), {library_op_names.begin(), library_op_names.end()});
  return nearest.empty() ? nearest : fmt::format(", did you mean '{}'?", nearest);
}

std::size_t index_of(std::string_view op) {
  const auto found = std::ranges::find(library_op_names, op);
  if (found == library_op_names.end())
    throw Error(fmt::format("policy of op '{}': there is nothing to choose for it{}; ops are {}", op, meant(op), fmt::join(library_op_names, ", ")));
  return static_cast<std::size_t>(found - library_op_names.begin());
}

Policy parse_policy(std::string_view text) {
  if (text == "auto") return Policy::automatic;
  if (text == "native") return Policy::native;
  if (text == "library") return Policy::library;
  throw Error(fmt::format("policy '{}': expected auto, native or library, or op=policy", text));
}

using Policies = std::array<Policy, library_op_names.size()>;

void parse(std::string_view choices, Policies& policies) {
  for (std::size_t begin = 0; begin <= choices.size();) {
    const std::size_t end = std::min(choices.find(',', begin), choices.size());
    const std::string_view choice = choices.substr(begin, end - begin);
    const std::size_t equals = choice.find('=');
    if (equals == std::string_view::npos) policies.fill(parse_policy(choice));
    else policies[index_of(choice.substr(0, equals))] = parse_policy(choice.substr(equals + 1));
    begin = end + 1;
  }
}

void apply(kernels::Settings& to, std::string_view choices) {
  Policies policies;
  std::ranges::copy(to.policies, policies.begin());
  parse(choices, policies);
  std::ranges::copy(policies, to.policies.begin());
}

}  // namespace

kernels::Settings& settings() {
  static kernels::Settings& only = []() -> kernels::Settings& {
    static kernels::Settings made;
    if (const char* choices = std::getenv("MICA_POLICY"); choices && *choices) {
      try {
        apply(made, choices);
      } catch (const Error& error) {
        throw Error(fmt::format("MICA_POLICY={}: {}", choices, error.what()));
      }
    }
    return made;
  }();
  return only;
}

void set_policy(Policy policy) {
  for (std::atomic<Policy>& each : settings().policies) each = policy;
}
void set_policy(std::string_view op, Policy policy) { settings().policies[index_of(op)] = policy; }
void set_policy(std::string_view choices) { apply(settings(), choices); }
Policy policy(std::string_view op) { return settings().policies[index_of(op)]; }

#ifdef MICA_CUDA
std::string why_no_cublas() { return kernels::why_no_cublas(); }
std::string why_no_cudnn() { return kernels::why_no_cudnn(); }
#else
std::string why_no_cublas() { return "this build of Mica has the CPU backend only"; }
std::string why_no_cudnn() { return why_no_cublas(); }
#endif

void allow_matmul_tf32(bool allow) { settings().matmul_tf32 = allow; }
void allow_cudnn_tf32(bool allow) { settings().cudnn_tf32 = allow; }
bool matmul_tf32_allowed() { return settings().matmul_tf32; }
bool cudnn_tf32_allowed() { return settings().cudnn_tf32; }

void set_deterministic(bool deterministic) { settings().deterministic = deterministic; }
bool deterministic() { return settings().deterministic; }

void set_workspace_limit(std::size_t bytes) { settings().workspace_bytes = bytes; }
std::size_t workspace_limit() { return settings().workspace_bytes; }

}  // namespace mica
