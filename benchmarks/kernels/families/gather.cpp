#include "gather.h"

#include "../families.h"

#include <mica/data/augmentation.h>
#include <mica/kernels/batch.h>
#include <mica/kernels/gather.h>

namespace mica::bench::families {

using namespace kernels;

namespace {

template <class Context>
void batch(Cases<Context>& cases, i64 count, i64 n, const std::string& name, const Augmentation& augmentation) {
  constexpr i64 side = 28, pixels = side * side;
  const RandomKey key{5, 6, 7};
  const Chain chain = compile(augmentation, side, side, {0.1307, 0.3081}, "microbench").chain;
  auto& c = cases.add(name + " " + std::to_string(n) + " of " + std::to_string(count));
  const auto images = c.template whole<std::uint8_t>(count * pixels, 256), labels = c.template whole<std::uint8_t>(count, 10);
  const auto indices = c.template whole<i64>(n, count);
  const auto y = c.output(n * pixels);
  const auto targets = c.template workspace<i64>(n);
  c.bytes = static_cast<double>(n) * (pixels * 5 + 8 + 1 + 8);  // of the images, only those of the batch
  c.native([=](Context& context, const Set& s) {
    gather_batch(context, {n, side, side}, s[images], s[labels], s[indices], chain, key, s[y], s[targets]);
  });
  c.naive([=]<class V>(V& v) {
    v.each(n * pixels, y, BatchFormula<typename V::Real>{side, side, v[images], v[indices], chain, key});
  });
}

// By an index of lines×length, along the rows of lines×width.
GatherDims along_rows(i64 lines, i64 length, i64 width) { return {1, {lines}, {width}, {length}, length, 1, 1, width}; }

template <class Context>
void picked(Cases<Context>& cases, i64 lines, i64 length, i64 width) {
  auto& c = cases.add("gather " + shape({lines, length}) + " from " + shape({lines, width}));
  const auto x = c.input(lines * width), y = c.output(lines * length);
  const auto index = c.template whole<i64>(lines * length, width);
  c.bytes = static_cast<double>(lines * length) * (8 + 4 + 4);  // of x, only what is picked
  c.native([=](Context& context, const Set& s) { kernels::gather<float>(context, along_rows(lines, length, width), s[x], s[index], s[y]); });
  c.naive([=]<class V>(V& v) { v.each(lines * length, y, GatherFormula<typename V::Real>{length, width, v[index], v[x]}); });
}

template <class Context>
void scattered(Cases<Context>& cases, i64 lines, i64 length, i64 width) {
  auto& c = cases.add("scatter_add " + shape({lines, length}) + " to " + shape({lines, width}));
  const auto x = c.in_out(lines * width), y = c.input(lines * length);
  const auto index = c.template whole<i64>(lines * length, width);
  c.flops = static_cast<double>(lines * length);
  c.native([=](Context& context, const Set& s) { kernels::scatter_add<float>(context, along_rows(lines, length, width), s[index], s[y], s[x]); });
  c.naive([=]<class V>(V& v) { v.each(lines * width, x, ScatterAddFormula<typename V::Real>{length, width, v[index], v[y], v[x]}); });
}

}  // namespace

template <class Context>
void gather(Cases<Context>& cases) {
  const i64 count = cases.pick(20, 10000, 60000), n = cases.pick(3, 128, 4096);
  batch(cases, count, n, "normalise", {});
  batch(cases, count, n, "crop, rotate and normalise", {transforms::RandomApply{{transforms::CenterCropResize{22}}, 0.1}, transforms::RandomRotation{15}});  // gap-19k's recipe
  const i64 lines = cases.pick(8, 1024, 16384);
  picked(cases, lines, cases.pick(7, 256, 256), cases.pick(30, 4096, 4096));
  scattered(cases, 16 * lines, cases.pick(7, 16, 16), cases.pick(11, 64, 64));  // on CUDA a thread takes a line
  scattered(cases, 1, cases.pick(300, 32768, 131072), cases.pick(40, 1024, 4096));  // … and here an element, which looks through it
}

}  // namespace mica::bench::families

MICA_FAMILY(gather)
