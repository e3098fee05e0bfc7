// Every op.
#pragma once

#include <mica/core/ops/batch_norm.h>
#include <mica/core/ops/conv2d.h>
#include <mica/core/ops/dropout.h>
#include <mica/core/ops/elementwise.h>
#include <mica/core/ops/layer_norm.h>
#include <mica/core/ops/linear.h>
#include <mica/core/ops/loss.h>
#include <mica/core/ops/matmul.h>
#include <mica/core/ops/pool.h>
#include <mica/core/ops/rearrange.h>
#include <mica/core/ops/reduce.h>
#include <mica/core/ops/regression_loss.h>
#include <mica/core/ops/softmax.h>
