// What a classifier answered, beside what it should have: rows of scores y (n×classes) and their targets. Scores stand in the order of their
// size, NaN before all; of equal ones the first class comes first. A target that is no class counts nowhere.
#pragma once

#include <mica/kernels/context.h>
#include <mica/kernels/dims.h>
#include <mica/kernels/math.h>

namespace mica::kernels {

// *correct = how many targets are among the first k of their rows.
template <class T> void count_correct(Cpu& cpu, i64 n, i64 classes, i64 k, const T* y, const i64* target, i64* correct);
template <class T> void count_correct(Cuda& cuda, i64 n, i64 classes, i64 k, const T* y, const i64* target, i64* correct);

// counts[target × classes + the row's first] += 1 for each row.
template <class T> void count_confusions(Cpu& cpu, i64 n, i64 classes, const T* y, const i64* target, i64* counts);
template <class T> void count_confusions(Cuda& cuda, i64 n, i64 classes, const T* y, const i64* target, i64* counts);

// ---- one row ----

template <class T>
MICA_FUNCTION bool stands_before(T a, i64 class_a, T b, i64 class_b) {
  const bool nan_a = a != a, nan_b = b != b;
  if (nan_a || nan_b) return nan_a && (!nan_b || class_a < class_b);
  return a > b || (a == b && class_a < class_b);
}

template <class T>
MICA_FUNCTION bool among_first(i64 k, i64 classes, const T* row, i64 target) {
  if (target < 0 || target >= classes) return false;
  i64 before = 0;
  for (i64 c = 0; c < classes; ++c) before += stands_before(row[c], c, row[target], target);
  return before < k;
}

template <class T>
MICA_FUNCTION i64 first_of(i64 classes, const T* row) {
  i64 first = 0;
  for (i64 c = 1; c < classes; ++c)
    if (stands_before(row[c], c, row[first], first)) first = c;
  return first;
}

}  // namespace mica::kernels
