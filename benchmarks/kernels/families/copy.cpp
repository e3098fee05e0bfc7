#include "copy.h"

#include "../families.h"

#include <mica/kernels/copy.h>

namespace mica::bench::families {

using namespace kernels;

template <class Context>
void copy(Cases<Context>& cases) {
  const i64 square = cases.pick(45, 1024, 8192), n = square * square;
  const i64 images = cases.pick(2, 128, 2048), channels = 16, pixels = cases.pick(35, 26 * 26, 26 * 26), all = images * channels * pixels;
  {
    auto& c = cases.add("copy " + std::to_string(n));
    const auto x = c.input(n), y = c.output(n);
    c.native([=](Context& context, const Set& s) { strided_copy(context, 1, {n}, {1}, s[x], {1}, s[y]); });
    c.naive([=]<class V>(V& v) { v.each(n, y, CopyFormula<typename V::Real>{v[x]}); });
  }
  {
    auto& c = cases.add("transpose " + shape({square, square}));
    const auto x = c.input(n), y = c.output(n);
    c.native([=](Context& context, const Set& s) { strided_copy(context, 2, {square, square}, {1, square}, s[x], {square, 1}, s[y]); });
    c.naive([=]<class V>(V& v) { v.each(n, y, TransposeFormula<typename V::Real>{square, square, v[x]}); });
  }
  {
    auto& c = cases.add("to channels last " + shape({images, channels, pixels}));
    const auto x = c.input(all), y = c.output(all);
    c.native([=](Context& context, const Set& s) {
      strided_copy(context, 3, {images, pixels, channels}, {channels * pixels, 1, pixels}, s[x], {channels * pixels, channels, 1}, s[y]);
    });
    c.naive([=]<class V>(V& v) { v.each(all, y, ToChannelsLastFormula<typename V::Real>{channels, pixels, v[x]}); });
  }
  {
    auto& c = cases.add("u8 to f32 " + std::to_string(n));
    const auto x = c.template whole<std::uint8_t>(n, 256);
    const auto y = c.output(n);
    c.native([=](Context& context, const Set& s) { convert(context, n, s[x], s[y]); });
    c.naive([=]<class V>(V& v) { v.each(n, y, BytesFormula<typename V::Real>{v[x]}); });
  }
}

}  // namespace mica::bench::families

MICA_FAMILY(copy)
