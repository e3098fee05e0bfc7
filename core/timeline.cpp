#include <mica/core/error.h>
#include <mica/core/replayed.h>
#include <mica/core/timeline.h>

#include <chrono>

#ifdef MICA_CUDA
#include <mica/core/cuda/timeline.h>
#endif

namespace mica {
namespace {

class ClockMarks final : public Timeline::Marks {
 public:
  std::size_t add() override {
    times_.push_back(std::chrono::steady_clock::now());
    return times_.size() - 1;
  }
  std::vector<double> read() const override {
    std::vector<double> microseconds;
    for (const auto& time : times_) microseconds.push_back(std::chrono::duration<double, std::micro>(time - times_.front()).count());
    return microseconds;
  }

 private:
  std::vector<std::chrono::steady_clock::time_point> times_;
};

std::unique_ptr<Timeline::Marks> marks_of([[maybe_unused]] Device device) {
#ifdef MICA_CUDA
  if (device.kind() == Device::Kind::cuda) return std::make_unique<EventMarks>(device);
#endif
  return std::make_unique<ClockMarks>();
}

}  // namespace

Timeline::Timeline(Device device) : device_(device), marks_(marks_of(device)) {}
Timeline::~Timeline() = default;

std::size_t Timeline::mark() {
  if (ReplayedValues::of(device_))
    throw Error("Timeline: the parts of a step that is captured by a CudaGraph have no times of their own; measure steps that are done one by one");
  return marks_->add();
}

std::vector<double> Timeline::read() const { return marks_->read(); }

}  // namespace mica
