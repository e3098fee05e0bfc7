// A batch in one kernel: a thread for each pixel, which goes back through rotation and crop to the bytes that it comes from.
#include <mica/kernels/cuda/launch.h>
#include <mica/kernels/image_transform.h>

#include <algorithm>

namespace mica::kernels {
namespace {

constexpr i64 most_threads = 1024;

// What one image's threads share, found by the first of them.
struct Plan {
  i64 index;  // of the image in the set
  bool crop;
  Rotation rotation;
};

MICA_DEVICE float pixel(const BatchDims& d, const Augmentation& augmentation, const Plan& plan, const Bytes& image, i64 row, i64 column) {
  const Cropped<Bytes> cropped{image, d.h, d.w, augmentation.crop};
  if (!(augmentation.rotation > 0)) return plan.crop ? cropped(row, column) : image(row, column);
  if (!plan.crop) return Rotated<Bytes>{image, d.h, d.w, plan.rotation, augmentation.sampling}(row, column);
  return Rotated<Cropped<Bytes>>{cropped, d.h, d.w, plan.rotation, augmentation.sampling}(row, column);
}

// `parts` blocks make an image, each of its threads one pixel.
// images: N×h×w, labels: N, indices: n, y: n×h×w, targets: n
template <class T>
__global__ void __launch_bounds__(most_threads)
    gather_batch_kernel(BatchDims d, unsigned parts, const std::uint8_t* images, const std::uint8_t* labels, const i64* indices, Augmentation augmentation,
                        RandomKey key, float mean, float std, T* y, i64* targets) {
  MICA_SHARED(Plan, shared, [1]);
  const i64 k = blockIdx.x / parts, pixels = d.h * d.w;
  const unsigned part = blockIdx.x % parts, i = part * blockDim.x + threadIdx.x, width = static_cast<unsigned>(d.w);
  if (threadIdx.x == 0) {
    const i64 index = indices[k];
    const ImageTransform transform = draw(augmentation, key, index);
    shared[0] = {index, transform.crop, rotation_by(transform.angle)};
    if (part == 0) targets[k] = labels[index];
  }
  __syncthreads();
  const Plan plan = shared[0];
  const Bytes image{d.w, images + plan.index * pixels};
  if (i < pixels) y[k * pixels + i] = normalised<T>(pixel(d, augmentation, plan, image, i / width, i % width), mean, std);
}

}  // namespace

template <class T>
void gather_batch(Cuda& cuda, const BatchDims& d, const std::uint8_t* images, const std::uint8_t* labels, const i64* indices,
                  const Augmentation& augmentation, const RandomKey& key, double mean, double std, T* y, i64* targets) {
  const i64 pixels = d.h * d.w;  // at least 1
  if (d.n == 0) return;
  const i64 threads = std::min(most_threads, ceil_div(pixels, 32) * 32);
  const i64 parts = ceil_div(pixels, threads);
  launch(cuda, "gather_batch", gather_batch_kernel<T>, {dim3(static_cast<unsigned>(d.n * parts)), dim3(static_cast<unsigned>(threads))}, d,
         static_cast<unsigned>(parts), images, labels, indices, augmentation, key, static_cast<float>(mean), static_cast<float>(std), y, targets);
}

template void gather_batch(Cuda&, const BatchDims&, const std::uint8_t*, const std::uint8_t*, const i64*, const Augmentation&,
                           const RandomKey&, double, double, float*, i64*);
template void gather_batch(Cuda&, const BatchDims&, const std::uint8_t*, const std::uint8_t*, const i64*, const Augmentation&,
                           const RandomKey&, double, double, double*, i64*);

}  // namespace mica::kernels
