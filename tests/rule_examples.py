"""Rule files of the specification, as they stand there."""

EXAMPLE_3 = r"""version: 1
selectors:
  stem:
    isa: Conv2D
    config: {kernel_size: [3, 3], strides: [2, 2], padding: valid}
    weight: {in: 3}
    fed_by: {type: ZeroPadding2D, config: {padding: [[1, 1], [1, 1]]}, only: true}
  pool: {last: {isa: GlobalAveragePooling2D}}
  body: {between: {after: {use: stem}, before: {use: pool}}}
  pointwise: {isa: Conv2D, config: {kernel_size: [1, 1]}}
  runs-sparse:
    any:
      - {type: [Add, Multiply, ZeroPadding2D, ReLU, LeakyReLU, ELU, Dropout]}
      - {use: pointwise, config: {strides: [1, 1], dilation_rate: [1, 1], groups: 1}}
      - isa: DepthwiseConv2D
        config:
          kernel_size: {in: [[3, 3], [5, 5]]}
          strides: [1, 1]
          padding: same
          dilation_rate: [1, 1]
          depth_multiplier: 1
      - isa: DepthwiseConv2D
        config:
          kernel_size: [3, 3]
          strides: {in: [[1, 1], [2, 2]]}
          padding: valid
          dilation_rate: [1, 1]
          depth_multiplier: 1
        fed_by: {type: ZeroPadding2D, config: {padding: [[1, 1], [1, 1]]}, only: true}
      - isa: DepthwiseConv2D
        config:
          kernel_size: [5, 5]
          strides: {in: [[1, 1], [2, 2]]}
          padding: valid
          dilation_rate: [1, 1]
          depth_multiplier: 1
        fed_by: {type: ZeroPadding2D, config: {padding: [[2, 2], [2, 2]]}, only: true}
      - {isa: GlobalAveragePooling2D, config: {keepdims: true}}
      - {isa: BatchNormalization, config: {axis: {in: [3, [3], -1]}}}
      - {isa: UpSampling2D, config: {interpolation: bilinear}}
      - {isa: Activation, config: {activation: {in: [relu, relu6, leaky_relu, elu, sigmoid]}}}
      - {type: TFOpLambda, config: {function: {regex: '(.+\.)?(identity|add|subtract|multiply)'}}}
require:
  - id: stem-on-every-input
    covers: {from: inputs, by: {use: stem}}
  - id: pool-on-every-output
    covers: {from: outputs, by: {use: pool}}
  - id: body-runs-sparse
    every: {use: body}
    satisfies: {use: runs-sparse}
    message: the sparse kernels would not be used for this layer
rules:
  - id: pointwise-in-body
    match: {use: pointwise, between: {after: {use: stem}, before: {use: pool}}}
    prune:
      sparsity: 75%
      schedule: {curve: polynomial, from: 25%, begin: 0 epochs, end: 6 epochs, every: 100 steps}
"""
