#include "broadcast.h"

#include "../families.h"

#include <mica/kernels/elementwise.h>

namespace mica::bench::families {

using namespace kernels;

template <class Context>
void broadcast(Cases<Context>& cases) {
  const i64 rows = cases.pick(77, 128 * 26 * 26, 4 << 20), columns = cases.pick(13, 16, 16), n = rows * columns;
  {
    auto& c = cases.add("add a row " + shape({rows, columns}));
    const auto x = c.input(n), b = c.input(columns), y = c.output(n);
    c.flops = static_cast<double>(n);
    c.native([=](Context& context, const Set& s) {
      binary_forward(context, Add{}, 2, {rows, columns}, {columns, 1}, s[x], {0, 1}, s[b], s[y]);
    });
    c.naive([=]<class V>(V& v) { v.each(n, y, AddRowFormula<typename V::Real>{columns, v[x], v[b]}); });
  }
  {
    auto& c = cases.add("multiply by a column " + shape({rows, columns}));
    const auto x = c.input(n), b = c.input(rows), y = c.output(n);
    c.flops = static_cast<double>(n);
    c.native([=](Context& context, const Set& s) {
      binary_forward(context, Mul{}, 2, {rows, columns}, {columns, 1}, s[x], {1, 0}, s[b], s[y]);
    });
    c.naive([=]<class V>(V& v) { v.each(n, y, MulColumnFormula<typename V::Real>{columns, v[x], v[b]}); });
  }
}

}  // namespace mica::bench::families

MICA_FAMILY(broadcast)
