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
