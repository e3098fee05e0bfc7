#include <mica/layers/pooling.h>

namespace mica {
namespace {

std::array<std::int64_t, 2> stride_of(NumberOrPair stride, NumberOrPair kernel) {
  return {stride.h == 0 ? kernel.h : stride.h, stride.w == 0 ? kernel.w : stride.w};
}

}  // namespace

MaxPool2d::MaxPool2d(NumberOrPair kernel, const Options& o)
    : options_{kernel, stride_of(o.stride, kernel), o.padding, o.dilation, o.ceil_mode} {}

AvgPool2d::AvgPool2d(NumberOrPair kernel, const Options& o)
    : options_{kernel, stride_of(o.stride, kernel), o.padding, o.ceil_mode, o.count_include_pad, o.divisor_override} {}

}  // namespace mica
