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
#include <charconv>
#include <cstdlib>
#include <iterator>
#include <system_error>
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

void apply_policy(kernels::Settings& to, std::string_view choices) {
  Policies policies;
  std::ranges::copy(to.policies, policies.begin());
  parse(choices, policies);
  std::ranges::copy(policies, to.policies.begin());
}

bool parse_switch(std::string_view name, std::string_view text) {
  if (text != "on" && text != "off") throw Error(fmt::format("{} '{}': expected on or off", name, text));
  return text == "on";
}

void apply_tf32(kernels::Settings& to, std::string_view text) { to.matmul_tf32 = to.cudnn_tf32 = parse_switch("tf32", text); }
void apply_deterministic(kernels::Settings& to, std::string_view text) { to.deterministic = parse_switch("deterministic", text); }

void apply_workspace(kernels::Settings& to, std::string_view text) {
  constexpr std::size_t most = std::size_t{1} << 20;
  std::size_t mebibytes = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), mebibytes);
  if (error != std::errc() || end != text.data() + text.size() || mebibytes > most)
    throw Error(fmt::format("workspace '{}': expected a whole number of MiB, from 0 to {}", text, most));
  to.workspace_bytes = mebibytes << 20;
}

struct Named {
  const char *name, *variable;
  void (*apply)(kernels::Settings& to, std::string_view text);
};
constexpr Named all_named[] = {{"policy", "MICA_POLICY", apply_policy},
                               {"tf32", "MICA_TF32", apply_tf32},
                               {"deterministic", "MICA_DETERMINISTIC", apply_deterministic},
                               {"workspace", "MICA_WORKSPACE", apply_workspace}};

void apply_environment(kernels::Settings& to) {
  for (const Named& named : all_named) {
    const char* const text = std::getenv(named.variable);
    if (!text || !*text) continue;
    try {
      named.apply(to, text);
    } catch (const Error& error) {
      throw Error(fmt::format("{}={}: {}", named.variable, text, error.what()));
    }
  }
}

}  // namespace

kernels::Settings& settings() {
  static kernels::Settings& only = []() -> kernels::Settings& {
    static kernels::Settings made;
    apply_environment(made);
    return made;
  }();
  return only;
}

void configure(std::string_view name, std::string_view value) {
  const auto named = std::ranges::find(all_named, name, &Named::name);
  if (named == std::end(all_named)) throw Error(fmt::format("setting '{}': there are policy, tf32, deterministic and workspace", name));
  named->apply(settings(), value);
}

void set_policy(Policy policy) {
  for (std::atomic<Policy>& each : settings().policies) each = policy;
}
void set_policy(std::string_view op, Policy policy) { settings().policies[index_of(op)] = policy; }
void set_policy(std::string_view choices) { apply_policy(settings(), choices); }
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
