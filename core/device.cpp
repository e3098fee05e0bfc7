#include <mica/core/device.h>
#include <mica/core/error.h>

#include <fmt/format.h>

#ifdef MICA_CUDA
#include <mica/core/cuda/device.h>
#endif

namespace mica {
namespace {

struct Found {
  int devices = 0;
  std::string reason;  // where there is none
};

// Asked once: the answer does not change while a program runs.
const Found& found() {
  static const Found answer = [] {
    Found found;
#ifdef MICA_CUDA
    found.devices = cuda_device_count(found.reason);
#else
    found.reason = "this build of Mica has the CPU backend only";
#endif
    return found;
  }();
  return answer;
}

}  // namespace

std::string why_no_cuda() { return found().reason; }

Device Device::cuda(int index) {
  if (found().devices == 0) throw DeviceError(fmt::format("Device::cuda({}): {}; use Device::cpu()", index, found().reason));
  if (index != 0)
    throw DeviceError(fmt::format("Device::cuda({}): Mica uses one device so far, number 0; $CUDA_VISIBLE_DEVICES chooses which GPU that is", index));
  return Device(Kind::cuda, index);
}

std::string to_string(Device device) {
  return device.kind() == Device::Kind::cpu ? "cpu" : "cuda:" + std::to_string(device.index());
}

}  // namespace mica
