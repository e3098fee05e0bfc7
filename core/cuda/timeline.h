// Moments of a CUDA device: events in its stream.
#pragma once

#include <mica/core/cuda/device.h>
#include <mica/core/timeline.h>
#include <mica/kernels/cuda/handles.h>

namespace mica {

class EventMarks final : public Timeline::Marks {
 public:
  explicit EventMarks(Device device) : stream_(cuda_device(device).context->stream()) {}
  std::size_t add() override;
  std::vector<double> read() const override;

 private:
  const kernels::Stream& stream_;
  std::vector<kernels::Event> events_;
};

}  // namespace mica
