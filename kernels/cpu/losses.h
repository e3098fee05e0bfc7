// From the losses of single lines to what is asked for.
#pragma once

#include <mica/kernels/cpu/context.h>
#include <mica/kernels/loss_line.h>

namespace mica::kernels {

// single: a loss a line.
template <class T>
void finish_losses(const NllDims& d, const double* single, const i64* target, const T* weight, double* total_weight, T* loss) {
  const i64 lines = d.outer * d.inner;
  if (d.reduction == Reduction::none) {
    for (i64 line = 0; line < lines; ++line) loss[line] = static_cast<T>(single[line]);
    return;
  }
  double total = 0, by = 0;
  for (i64 line = 0; line < lines; ++line) total += single[line];
  if (d.reduction == Reduction::mean) {
    for (i64 line = 0; line < lines; ++line) by += counted_weight(d, target[line], weight);
    *total_weight = by;
  }
  *loss = static_cast<T>(d.reduction == Reduction::mean ? total / by : total);
}

}  // namespace mica::kernels
