#include "reduction.h"
#include "../families.h"

#include <mica/kernels/reduce.h>

namespace mica::bench::families {

using namespace kernels;

namespace {

Region region(i64 size, i64 stride) {
  Region r;
  r.push_back(size, stride);
  return r;
}

// x: rows×columns; `lengthwise` sums each row, otherwise each column (a channel's sum over pixels).
template <class Context>
void sum_of(Cases<Context>& cases, i64 rows, i64 columns, bool lengthwise) {
  auto& c = cases.add(std::string(lengthwise ? "sum of rows " : "sum of columns ") + shape({rows, columns}));
  const i64 kept = lengthwise ? rows : columns, reduced = lengthwise ? columns : rows, step = lengthwise ? columns : 1,
            stride = lengthwise ? 1 : columns;
  const auto x = c.input(rows * columns), y = c.output(kept);
  c.flops = static_cast<double>(rows * columns);
  c.native([=](Context& context, const Set& s) { sum(context, region(kept, step), region(reduced, stride), 1.0, s[x], s[y]); });
  c.naive([=]<class V>(V& v) { v.each(kept, y, SumFormula<typename V::Real>{reduced, step, stride, v[x]}); });
}

}  // namespace

template <class Context>
void reduction(Cases<Context>& cases) {
  const i64 images = cases.pick(2, 128, 2048), side = cases.pick(7, 26, 26), square = cases.pick(37, 1024, 8192);
  sum_of(cases, images * side * side, 16, false);
  sum_of(cases, square, square, true);
  sum_of(cases, square, square, false);
  {
    const i64 n = square * square;
    auto& c = cases.add("sum " + std::to_string(n));
    const auto x = c.input(n, 0, 1), y = c.output(1);
    c.flops = static_cast<double>(n);
    c.native([=](Context& context, const Set& s) { sum(context, Region{}, region(n, 1), 1.0, s[x], s[y]); });
    const auto formula = [=]<class V>(V& v) { v.each(1, y, SumFormula<typename V::Real>{n, 0, 1, v[x]}); };
    if (!on_cuda<Context>) c.naive(formula);
    else c.expected(formula);  // one thread for all would take seconds
  }
  {
    auto& c = cases.add("largest of rows " + shape({square, square}));
    const auto x = c.input(square * square), y = c.output(square);
    c.native([=](Context& context, const Set& s) {
      extremum(context, Extremum::max, region(square, square), region(square, 1), s[x], s[y], static_cast<i64*>(nullptr));
    });
    c.naive([=]<class V>(V& v) { v.each(square, y, LargestFormula<typename V::Real>{square, square, 1, v[x]}); });
  }
}

}  // namespace mica::bench::families

MICA_FAMILY(reduction)
