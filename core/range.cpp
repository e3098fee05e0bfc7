#include <mica/core/context.h>
#include <mica/core/error.h>
#include <mica/core/range.h>
#include <mica/kernels/gather.h>

#ifdef MICA_CUDA
#include <mica/core/cuda/device.h>
#endif

namespace mica {

void require_in_range(const Tensor& values, std::int64_t size, std::optional<std::int64_t> allowed,
                      const std::function<std::string(std::int64_t position, std::int64_t value)>& describe) {
  const std::int64_t n = values.numel();
  const std::int64_t* data = values.data<std::int64_t>();
#ifdef MICA_CUDA
  if (values.device().kind() == Device::Kind::cuda) {
    CudaDevice& device = cuda_device(values.device());
    if (n > 0) device.watch(describe, [&](int site) { kernels::watch_range(*device.context, n, size, allowed, data, site); });
    return;
  }
#endif
  const std::int64_t bad = kernels::first_out_of_range(cpu_context(), n, size, allowed, data);
  if (bad < n) throw Error(describe(bad, data[bad]));
}

}  // namespace mica
