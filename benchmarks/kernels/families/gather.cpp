#include "gather.h"

#include "../families.h"

#include <mica/kernels/batch.h>

namespace mica::bench::families {

using namespace kernels;

namespace {

template <class Context>
void batch(Cases<Context>& cases, i64 count, i64 n, const std::string& name, const Augmentation& augmentation) {
  constexpr i64 side = 28, pixels = side * side;
  const RandomKey key{5, 6, 7};
  auto& c = cases.add(name + " " + std::to_string(n) + " of " + std::to_string(count));
  const auto images = c.template whole<std::uint8_t>(count * pixels, 256), labels = c.template whole<std::uint8_t>(count, 10);
  const auto indices = c.template whole<i64>(n, count);
  const auto y = c.output(n * pixels);
  const auto targets = c.template workspace<i64>(n);
  c.bytes = static_cast<double>(n) * (pixels * 5 + 8 + 1 + 8);  // of the images, only those of the batch
  c.native([=](Context& context, const Set& s) {
    gather_batch(context, {n, side, side}, s[images], s[labels], s[indices], augmentation, key, 0.1307, 0.3081, s[y], s[targets]);
  });
  c.naive([=]<class V>(V& v) {
    v.each(n * pixels, y, BatchFormula<typename V::Real>{side, side, v[images], v[indices], augmentation, key, 0.1307F, 0.3081F});
  });
}

}  // namespace

template <class Context>
void gather(Cases<Context>& cases) {
  const i64 count = cases.pick(20, 10000, 60000), n = cases.pick(3, 128, 4096);
  batch(cases, count, n, "normalise", {});
  batch(cases, count, n, "crop, rotate and normalise", {.crop_probability = 0.1, .crop = 22, .rotation = 15});  // gap-19k's recipe
}

}  // namespace mica::bench::families

MICA_FAMILY(gather)
