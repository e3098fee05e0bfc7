// When a device gets somewhere in its work, noted without waiting for it: on CUDA by events in the stream; on the CPU, where work is done
// when its call returns, by the steady clock.
#pragma once

#include <mica/core/device.h>

#include <cstddef>
#include <memory>
#include <vector>

namespace mica {

class Timeline {
 public:
  explicit Timeline(Device device);
  ~Timeline();
  Timeline(const Timeline&) = delete;
  Timeline& operator=(const Timeline&) = delete;

  // Notes this moment, and gives its number, from 0. Costs a look at the clock; on CUDA two calls of the runtime, and an event that is
  // kept. Throws Error while a CudaGraph is captured.
  std::size_t mark();

  // The microseconds from the first moment to each, never falling. Waits until the device got to the last.
  std::vector<double> read() const;

  struct Marks {  // a device's way to do that
    virtual ~Marks() = default;
    virtual std::size_t add() = 0;
    virtual std::vector<double> read() const = 0;
  };

 private:
  Device device_;
  std::unique_ptr<Marks> marks_;
};

}  // namespace mica
