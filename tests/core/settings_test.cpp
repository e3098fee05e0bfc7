#include "../catch.h"
#include "../compare.h"

#include <mica/core/error.h>
#include <mica/core/settings.h>

#include <thread>

using namespace mica;
using namespace mica::test;

TEST_CASE("a policy is chosen for all ops, for one, or by a text") {
  const auto all = [] {
    std::string text;
    for (const char* op : kernels::library_op_names) text += "anl"[static_cast<int>(policy(op))];
    return text;
  };
  CHECK(all() == "aaaaaaa");
  set_policy(Policy::native);
  CHECK(all() == "nnnnnnn");
  set_policy("conv2d", Policy::library);
  CHECK(all() == "nlnnnnn");
  set_policy("library,matmul=native,softmax=auto");
  CHECK(all() == "nllllla");
  set_policy("batch_norm=native");
  CHECK(all() == "nlnllla");
  std::thread([&] { CHECK(all() == "nlnllla"); }).join();

  CHECK(error_text<Error>([] { set_policy("native,conv=library"); }) ==
        "policy of op 'conv': there is nothing to choose for it, did you mean 'conv2d'?; ops are matmul, conv2d, batch_norm, dropout, max_pool2d, avg_pool2d, softmax");
  CHECK(error_text<Error>([] { set_policy("fast"); }) == "policy 'fast': expected auto, native or library, or op=policy");
  CHECK(error_text<Error>([] { set_policy("matmul="); }) == "policy '': expected auto, native or library, or op=policy");
  CHECK(error_text<Error>([] { set_policy("native,"); }) == "policy '': expected auto, native or library, or op=policy");
  CHECK_THROWS_AS(policy("relu"), Error);
  CHECK(all() == "nlnllla");
  set_policy("auto");
  CHECK(all() == "aaaaaaa");
}

TEST_CASE("every setting can be chosen by its name") {
  configure("policy", "softmax=native");
  CHECK(policy("softmax") == Policy::native);
  CHECK((!matmul_tf32_allowed() && cudnn_tf32_allowed()));  // as PyTorch
  configure("tf32", "on");
  CHECK((matmul_tf32_allowed() && cudnn_tf32_allowed()));
  configure("tf32", "off");
  CHECK((!matmul_tf32_allowed() && !cudnn_tf32_allowed()));
  configure("deterministic", "off");
  CHECK_FALSE(deterministic());
  configure("workspace", "0");
  CHECK(workspace_limit() == 0);
  configure("workspace", "1048576");
  CHECK(workspace_limit() == std::size_t{1} << 40);

  CHECK(error_text<Error>([] { configure("policy", "fast"); }) == "policy 'fast': expected auto, native or library, or op=policy");
  CHECK(error_text<Error>([] { configure("tf32", "yes"); }) == "tf32 'yes': expected on or off");
  CHECK(error_text<Error>([] { configure("deterministic", ""); }) == "deterministic '': expected on or off");
  for (const std::string text : {"", "-1", "1.5", "2 ", "many", "1048577", "99999999999999999999"})
    CHECK(error_text<Error>([&] { configure("workspace", text); }) == "workspace '" + text + "': expected a whole number of MiB, from 0 to 1048576");
  CHECK(error_text<Error>([] { configure("TF32", "on"); }) == "setting 'TF32': there are policy, tf32, deterministic and workspace");
  CHECK((!matmul_tf32_allowed() && !deterministic() && workspace_limit() == std::size_t{1} << 40));

  configure("policy", "auto"), allow_cudnn_tf32(true), configure("deterministic", "on"), configure("workspace", "256");
}
