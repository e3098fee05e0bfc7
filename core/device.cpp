#include <mica/core/device.h>
#include <mica/core/error.h>

namespace mica {

std::string why_no_cuda() { return "this build of Mica has the CPU backend only"; }

Device Device::cuda(int index) {
  if (const std::string reason = why_no_cuda(); !reason.empty())
    throw DeviceError("Device::cuda(" + std::to_string(index) + "): " + reason + "; use Device::cpu()");
  return Device(Kind::cuda, index);
}

std::string to_string(Device device) {
  return device.kind() == Device::Kind::cpu ? "cpu" : "cuda:" + std::to_string(device.index());
}

}  // namespace mica
