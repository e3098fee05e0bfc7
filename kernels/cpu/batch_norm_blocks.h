// Batch norm's work on one block of rows×channels, sixteen channels at a time. Sums go down the rows; what writes goes
// along them, which memory likes better.
// Included by each_instruction_set.h, for which it has no include guard and no namespace.

// Floats that are fetched ahead, a page: the processor's own prefetching stops where each page ends.
constexpr i64 ahead = 1024;

// Floats [c, c + 16) of rows, or the last `count` channels.
template <bool Whole>
inline Vector get(const float* p, int count) {
  if constexpr (Whole) return Vector::load(p);
  return Vector::load(p, count);
}
template <bool Whole>
inline void put(float* p, int count, const Vector& v) {
  if constexpr (Whole) return v.store(p);
  v.store(p, count);
}

// f(first channel, how many, are they sixteen?) for every tile of channels.
template <class F>
inline void for_each_tile(i64 channels, const F& f) {
  i64 c = 0;
  for (; c + 16 <= channels; c += 16) f(c, 16, std::true_type());
  if (c < channels) f(c, static_cast<int>(channels - c), std::false_type());
}

// Two sums over rows, each in four partial sums, so that an addition need not wait for the one before.
struct TwoSums {
  Vector first[4], second[4];

  TwoSums() { for (int i = 0; i < 4; ++i) first[i] = second[i] = Vector::broadcast(0); }

  // term(row, a, b) adds row's terms to a and b.
  template <class F>
  void add_rows(i64 rows, const F& term) {
    i64 row = 0;
    for (; row + 4 <= rows; row += 4) {
      term(row, first[0], second[0]);
      term(row + 1, first[1], second[1]);
      term(row + 2, first[2], second[2]);
      term(row + 3, first[3], second[3]);
    }
    for (; row < rows; ++row) term(row, first[0], second[0]);
  }

  void store(int count, double* first_sums, double* second_sums) const {
    float sums[32];
    ((first[0] + first[1]) + (first[2] + first[3])).store(sums);
    ((second[0] + second[1]) + (second[2] + second[3])).store(sums + 16);
    for (int k = 0; k < count; ++k) {
      first_sums[k] = static_cast<double>(sums[k]);
      second_sums[k] = static_cast<double>(sums[16 + k]);
    }
  }
};

// sums[2×channels]: Σ(x − x₀) and Σ(x − x₀)², x₀ the first row.
void moments(i64 rows, i64 channels, const float* x, double* sums) {
  for_each_tile(channels, [=](i64 c, int count, auto whole) {
    const Vector origin = get<whole>(x + c, count);
    TwoSums both;
    both.add_rows(rows, [=](i64 row, Vector& total, Vector& square) {
      __builtin_prefetch(x + row * channels + c + ahead);
      const Vector difference = get<whole>(x + row * channels + c, count) - origin;
      total = total + difference;
      square = square + difference * difference;
    });
    both.store(count, sums + c, sums + channels + c);
  });
}

// y = x · scale + shift, and no less than 0 with a ReLU; NaN passes.
void apply(i64 rows, i64 channels, const float* x, const float* scale, const float* shift, bool relu, float* y) {
  const Vector low = Vector::broadcast(relu ? 0 : -std::numeric_limits<float>::infinity());
  for (i64 row = 0; row < rows; ++row)
    for_each_tile(channels, [=](i64 c, int count, auto whole) {
      const i64 at = row * channels + c;
      __builtin_prefetch(x + at + ahead);
      __builtin_prefetch(y + at + ahead, 1);
      put<whole>(y + at, count, max(low, get<whole>(x + at, count) * get<whole>(scale + c, count) + get<whole>(shift + c, count)));
    });
}

// The gradient that reaches z, g: keep_scale · gy where the ReLU was active. Its output is y, or is made again from x.
struct Mask {
  const float *y, *scale, *shift;
  bool relu;
  float keep_scale;

  template <bool Whole>
  Vector gradient(i64 at, i64 c, int count, const Vector& x, const float* gy) const {
    const Vector g = get<Whole>(gy + at, count) * Vector::broadcast(keep_scale);
    if (!relu) return g;
    return where_positive(y ? get<Whole>(y + at, count) : x * get<Whole>(scale + c, count) + get<Whole>(shift + c, count), g);
  }
};

// sums[2×channels]: Σ g and Σ g·(x − mean). All arrays begin at the block's first row.
void gradients(i64 rows, i64 channels, const float* x, const float* y, const float* gy, const BatchNormFactors<float>& by,
               bool relu, float keep_scale, double* sums) {
  const Mask mask{y, by.scale, by.shift, relu, keep_scale};
  for_each_tile(channels, [=](i64 c, int count, auto whole) {
    const Vector center = get<whole>(by.mean + c, count);
    TwoSums both;
    both.add_rows(rows, [=](i64 row, Vector& total, Vector& product) {
      const i64 at = row * channels + c;
      __builtin_prefetch(x + at + ahead);
      __builtin_prefetch(gy + at + ahead);
      const Vector here = get<whole>(x + at, count), g = mask.gradient<whole>(at, c, count, here, gy);
      total = total + g;
      product = product + g * (here - center);
    });
    both.store(count, sums + c, sums + channels + c);
  });
}

// gx = by_g·g + by_x·(x − mean) + constant: factors[3×channels]; by_g·g alone unless through_x, when mean and variance are not x's.
void input_gradient(i64 rows, i64 channels, const float* x, const float* y, const float* gy, const BatchNormFactors<float>& by,
                    bool relu, float keep_scale, const float* factors, bool through_x, float* gx) {
  const Mask mask{y, by.scale, by.shift, relu, keep_scale};
  for (i64 row = 0; row < rows; ++row)
    for_each_tile(channels, [=](i64 c, int count, auto whole) {
      const i64 at = row * channels + c;
      __builtin_prefetch(x + at + ahead);
      __builtin_prefetch(gy + at + ahead);
      const Vector here = get<whole>(x + at, count), g = mask.gradient<whole>(at, c, count, here, gy);
      const Vector by_g = get<whole>(factors + c, count), by_x = get<whole>(factors + channels + c, count);
      const Vector constant = get<whole>(factors + 2 * channels + c, count);
      __builtin_prefetch(gx + at + ahead, 1);
      const Vector direct = by_g * g;
      put<whole>(gx + at, count, through_x ? direct + by_x * (here - get<whole>(by.mean + c, count)) + constant : direct);
    });
}
