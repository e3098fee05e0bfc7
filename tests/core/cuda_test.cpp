// Tensors on a CUDA device: copies to and from it, its memory, and what is refused.
#include "../compare.h"
#include "../no_device.h"
#include "../ops/case_table.h"

#include <mica/core/autograd.h>
#include <mica/core/cuda_graph.h>
#include <mica/core/error.h>
#include <mica/core/memory.h>
#include <mica/core/ops.h>
#include <mica/core/range.h>

#include <fmt/format.h>

#include <atomic>
#include <cinttypes>
#include <numeric>
#include <set>
#include <thread>

using namespace mica;
using namespace mica::test;

namespace {

Tensor counted(const Shape& shape, DType dtype = DType::f32) {
  std::vector<double> numbers(static_cast<std::size_t>(numel(shape)));
  std::iota(numbers.begin(), numbers.end(), 1);
  return Tensor::from<double>(numbers, shape).to(dtype);
}

}  // namespace

TEST_CASE("a device that is not there is refused with the reason", "[cuda]") {
  const std::string reason = why_no_cuda();
  if (!reason.empty()) {
    CHECK(error_text<DeviceError>([] { Device::cuda(); }) == "Device::cuda(0): " + reason + "; use Device::cpu()");
    return;
  }
  CHECK(to_string(Device::cuda()) == "cuda:0");
  for (const int index : {-1, 1})
    CHECK(error_text<DeviceError>([&] { Device::cuda(index); }) ==
          "Device::cuda(" + std::to_string(index) + "): Mica uses one device so far, number 0; $CUDA_VISIBLE_DEVICES chooses which GPU that is");
}

TEST_CASE("tensors go to the device and come back as they were", "[cuda]") {
  if (no_device()) return;
  for (const DType dtype : {DType::f32, DType::f64, DType::i64, DType::i32, DType::u8})
    for (const Shape& shape : {Shape{}, Shape{0, 3}, Shape{7}, Shape{2, 3, 5, 1}, Shape{3, 2, 5, 7}}) {
      const Tensor x = counted(shape, dtype), there = x.to(Device::cuda());
      CHECK(there.device() == Device::cuda());
      CHECK(there.to(Device::cuda()).raw_data() == there.raw_data());
      CHECK(same_bits(there.to(Device::cpu()), x));
      CHECK(values(there) == values(x));
    }
  const Tensor large = counted({1'300'003});  // several staging buffers, the last one not full
  CHECK(same_bits(large.to(Device::cuda()).to(Device::cpu()), large));
  CHECK(Tensor::full({}, 7, DType::i64, Device::cuda()).item<std::int64_t>() == 7);
  CHECK(counted({3}).to(Device::cuda()).to_string() == counted({3}).to_string());
}

TEST_CASE("views, copies and changes in place on the device", "[cuda]") {
  if (no_device()) return;
  const Tensor x = counted({6, 5}).to(Device::cuda());
  CHECK(values(x.slice(1, 3)) == values(counted({6, 5}).slice(1, 3)));
  CHECK(values(x[4]) == std::vector<double>{21, 22, 23, 24, 25});
  Tensor part = x.slice(1, 2);
  part.fill_(0);
  CHECK(values(x)[4] == 5);
  CHECK(values(x)[5] == 0);
  CHECK(values(x)[10] == 11);
  Tensor y = Tensor::zeros({6, 5}, DType::f64, Device::cuda());
  y.copy_(x);  // converts
  CHECK(values(y) == values(x));
  y.copy_(counted({6, 5}));  // from the CPU
  CHECK(values(y) == values(counted({6, 5})));
  Tensor here = Tensor::zeros({6, 5});
  here.copy_(y);
  CHECK(values(here) == values(y));
  const Tensor own = x.clone();
  part.fill_(9);
  CHECK(values(own)[5] == 0);
}

TEST_CASE("gradients cross from device to device", "[cuda]") {
  if (no_device()) return;
  const Tensor x = counted({4}).set_requires_grad();
  const Tensor y = x.to(Device::cuda());
  (y * y).to(Device::cpu()).backward(Tensor::ones({4}));
  CHECK(x.grad().device() == Device::cpu());
  CHECK(values(x.grad()) == std::vector<double>{2, 4, 6, 8});
  const Tensor z = (x.to(Device::cuda()) * 2);
  CHECK(error_text<DeviceError>([&] { z.backward(Tensor::ones({4})); }) ==
        "backward: tensors are on cuda:0 and cpu, expected one device; move one with to()");
  CHECK(error_text<DeviceError>([&] { x.set_grad(Tensor::ones({4}, DType::f32, Device::cuda())); }) ==
        "set_grad: tensors are on cpu and cuda:0, expected one device; move one with to()");
}

TEST_CASE("what no kernel can count or no device hold is refused, and the next request works", "[cuda][memory]") {
  if (no_device()) return;
  CHECK(error_text<ShapeError>([] { Tensor::empty({1 << 16, 1 << 15}, DType::u8, Device::cuda()); }) ==
        "a tensor of shape 65536×32768 on cuda:0 has 2147483648 elements; kernels count at most 2147483647 there, so split it");
  std::vector<Tensor> held;
  const std::string text = error_text<OutOfMemory>([&] {
    for (int i = 0; i < 10'000; ++i) held.push_back(Tensor::empty({1 << 27}, DType::f64, Device::cuda()));  // 1 GiB each
  });
  CHECK(text.find("cannot allocate 1073741824 bytes on cuda:0: ") == 0);
  CHECK(text.find("use a smaller batch") != std::string::npos);
  held.clear();
  CHECK(values(Tensor::ones({3}, DType::f32, Device::cuda())) == std::vector<double>{1, 1, 1});
}

TEST_CASE("memory that tensors gave back is used again, and given to the device when that is short of it", "[cuda][memory]") {
  if (no_device()) return;
  const Device device = Device::cuda();
  release_cached_memory(device);
  const MemoryStats before = memory_stats(device);
  void* first = nullptr;
  {
    const Tensor x = Tensor::empty({1'000'000}, DType::f32, device);
    first = x.raw_data();
    CHECK(memory_stats(device).current >= before.current + 4'000'000);
    CHECK(memory_stats(device).peak >= memory_stats(device).current);
  }
  CHECK(memory_stats(device).current == before.current);
  CHECK(memory_stats(device).reserved >= before.reserved + 4'000'000);
  CHECK(Tensor::empty({1'000'000}, DType::f32, device).raw_data() == first);
  release_cached_memory(device);
  CHECK(memory_stats(device).reserved == before.reserved);
}

TEST_CASE("large requests are rounded to 2 MiB", "[cuda][memory]") {
  if (no_device()) return;
  const Device device = Device::cuda();
  release_cached_memory(device);
  const std::size_t before = memory_stats(device).reserved;
  const Tensor x = Tensor::empty({(65 << 20) + 1}, DType::u8, device);
  CHECK(memory_stats(device).reserved == before + (66 << 20));
}

#ifdef MICA_CUDA_EMULATED  // hardware keeps some of what it calls free
TEST_CASE("a request that fits only without rounding is served, and its memory used again", "[cuda][memory]") {
  const Device device = Device::cuda();
  release_cached_memory(device);
  const MemoryStats before = memory_stats(device);
  const std::string refusal = error_text<OutOfMemory>([&] { Tensor::empty({(1LL << 31) - 1}, DType::f64, device); });
  std::int64_t left = 0;
  REQUIRE(std::sscanf(refusal.c_str(), "cannot allocate 17179869176 bytes on cuda:0: %" SCNd64 " of its", &left) == 1);
  const std::int64_t n = left / 512 * 512 - 512;  // some bytes for the canary
  void* first = nullptr;
  {
    const Tensor x = Tensor::empty({n}, DType::u8, device);
    first = x.raw_data();
    CHECK(memory_stats(device).current == before.current + static_cast<std::size_t>(n));
    const std::string text = error_text<OutOfMemory>([&] { Tensor::empty({4096}, DType::u8, device); });
    CHECK(text.starts_with("cannot allocate 4096 bytes on cuda:0: "));
    CHECK(text.find(fmt::format("{} are in tensors", memory_stats(device).current)) != std::string::npos);
  }
  CHECK(memory_stats(device).current == before.current);
  CHECK(Tensor::empty({n}, DType::u8, device).raw_data() == first);
  release_cached_memory(device);
  {
    CudaGraph graph;  // which needs the same request twice
    CHECK_NOTHROW(graph.capture([&](int) { Tensor::empty({n - 65536}, DType::u8, device); }));
  }
  release_cached_memory(device);
  CHECK(memory_stats(device).reserved == before.reserved);
}
#endif

TEST_CASE("checks of values that nobody reads are looked at every few thousand", "[cuda]") {
  if (no_device()) return;
  synchronize(Device::cuda());
  const Tensor index = Tensor::full({1}, 7, DType::i64, Device::cuda());
  const auto check_below = [&](std::int64_t size) {
    require_in_range(index, size, {}, [size](std::int64_t, std::int64_t value) { return fmt::format("{} is not below {}", value, size); });
  };
  const auto check_many = [&] { for (int i = 0; i < 5000; ++i) check_below(i == 100 ? 5 : 8); };
  CHECK(error_text<Error>(check_many) == "7 is not below 5");
  check_below(6);
  CHECK(error_text<Error>([] { synchronize(Device::cuda()); }) == "7 is not below 6");
}

TEST_CASE("a check of values on one host thread keeps its text when another waits", "[cuda]") {
  if (no_device()) return;
  const Tensor index = Tensor::full({1}, 7, DType::i64, Device::cuda());
  std::atomic<int> mine = 0, others = 0;
  std::atomic<bool> done = false;
  const auto wait = [&] {
    try {
      synchronize(Device::cuda());
    } catch (const Error& error) {
      ++(std::string_view(error.what()) == "mine" ? mine : others);
    } catch (const std::exception&) {
      ++others;
    }
  };
  std::thread waits([&] { while (!done) wait(); });
  for (int i = 0; i < 300; ++i) {
    require_in_range(index, 8, {}, [](std::int64_t, std::int64_t) { return std::string("not mine"); });
    require_in_range(index, 5, {}, [](std::int64_t, std::int64_t) { return std::string("mine"); });
  }
  done = true;
  waits.join();
  wait();
  CHECK(mine > 0);
  CHECK(others == 0);
}

TEST_CASE("every op refuses tensors of two devices or two dtypes", "[cuda]") {
  if (no_device()) return;
  std::set<std::string> tested;
  for (const OpCase& c : case_table()) {
    const std::string op = c.attributes.at("op");
    const Arguments arguments = c.arguments();
    if (arguments.size() < 2 || !tested.insert(op + std::to_string(arguments.size())).second) continue;
    for (const auto& [moved, value] : arguments) {
      Arguments mixed = arguments;
      mixed[moved] = value.to(Device::cuda());
      INFO(c.line() << " with " << moved << " on the device");
      CHECK(error_text<DeviceError>([&] { call_op(mixed, c.attributes); }).find("expected one device; move one with to()") != std::string::npos);
      Arguments there;
      int of_its_kind = 0;  // floating, or not
      for (const auto& [name, x] : arguments) {
        there[name] = x.to(Device::cuda());
        of_its_kind += is_floating(x.dtype()) == is_floating(value.dtype());
      }
      if (is_floating(value.dtype()) && of_its_kind == 1) continue;  // with indices or classes any floating type goes
      there[moved] = there[moved].to(is_floating(value.dtype()) ? DType::f32 : DType::i32);
      CHECK(error_text<DTypeError>([&] { call_op(there, c.attributes); }) != "");
    }
  }
  CHECK(tested.size() > 15);
}
