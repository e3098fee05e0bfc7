// The loops of reductions. Included by each_instruction_set.h, for which it has no include guard and no namespace.

// n elements of a row into `lanes` partial results; the first is at `position` of the region.
template <class R, class T>
void add_row(R& r, i64 n, const T* x, i64 step, std::int32_t position) {
  i64 i = 0;
  if (step == 1)
    for (; i + lanes <= n; i += lanes)
      for (i64 lane = 0; lane < lanes; ++lane) r.add(lane, x[i + lane], position + static_cast<std::int32_t>(i + lane));
  for (; i < n; ++i) r.add(i % lanes, x[i * step], position + static_cast<std::int32_t>(i));
}

// n elements with a step, each `width` neighbours, into as many partial results.
template <class R, class T>
void add_columns(R& r, i64 width, i64 n, const T* x, i64 step, std::int32_t position) {
  for (i64 i = 0; i < n; ++i)
    for (i64 lane = 0; lane < width; ++lane) r.add(lane, x[i * step + lane], position + static_cast<std::int32_t>(i));
}

// The gradient of an extremum: how many of n elements equal it, and then each one's share.
template <class T>
MICA_INLINE bool equals(T v, T best, bool nan_equal) {
  return (v == best) | (nan_equal & (v != v) & (best != best));
}

template <class T>
void count_row(i64 n, const T* x, i64 step, T best, bool nan_equal, i64* count) {
  std::int32_t found = 0;
  if (step == 1) for (i64 i = 0; i < n; ++i) found += equals(x[i], best, nan_equal);
  else for (i64 i = 0; i < n; ++i) found += equals(x[i * step], best, nan_equal);
  *count += found;
}
template <class T>
void share_row(i64 n, const T* x, i64 step, T best, bool nan_equal, T share, T none, T* gx) {
  if (step == 1) for (i64 i = 0; i < n; ++i) gx[i] = equals(x[i], best, nan_equal) ? share : none;
  else for (i64 i = 0; i < n; ++i) gx[i * step] = equals(x[i * step], best, nan_equal) ? share : none;
}

template <class T>
void count_columns(i64 width, i64 n, const T* x, i64 step, const T* best, bool nan_equal, i64* count) {
  for (i64 i = 0; i < n; ++i)
    for (i64 lane = 0; lane < width; ++lane) count[lane] += equals(x[i * step + lane], best[lane], nan_equal);
}
template <class T>
void share_columns(i64 width, i64 n, const T* x, i64 step, const T* best, bool nan_equal, const T* share, const T* none, T* gx) {
  for (i64 i = 0; i < n; ++i)
    for (i64 lane = 0; lane < width; ++lane)
      gx[i * step + lane] = equals(x[i * step + lane], best[lane], nan_equal) ? share[lane] : none[lane];
}
