"""The functions and operations of TensorFlow that a model file may name, each by its exact name.

All of them compute on tensors.

A `TFOpLambda` layer calls the public function that its config names, a `TensorFlowOpLayer` runs the
operation of its `node_def` (tf_keras/src/layers/core/tf_op_layer.py,
tf_keras/src/engine/base_layer.py). So only what can do no more than compute is listed: nothing that
reads or writes files (`io.read_file`, `ImmutableConst`, `random.fixed_unigram_candidate_sampler`
with its `vocab_file`, `DecodeProtoV2` with its descriptor), debugs to a URL (`DebugIdentity`),
calls Python or another function, holds a resource, prints, or changes TensorFlow's own state.
"""

from __future__ import annotations

from collections.abc import Mapping


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_BY_MODULE: Mapping[str, frozenset[str]] = {
    "": _words("""
        abs acos acosh add add_n approx_top_k argmax argmin argsort as_string asin asinh atan atan2
        atanh batch_to_space bitcast boolean_mask broadcast_dynamic_shape broadcast_static_shape
        broadcast_to cast clip_by_global_norm clip_by_norm clip_by_value complex concat constant
        convert_to_tensor cos cosh cumsum divide dynamic_partition dynamic_stitch edit_distance eig
        eigvals einsum ensure_shape equal exp expand_dims extract_volume_patches eye fftnd fill
        fingerprint floor gather gather_nd greater greater_equal group guarantee_const
        histogram_fixed_width histogram_fixed_width_bins identity identity_n ifftnd irfftnd less
        less_equal linspace logical_and logical_not logical_or matmul matrix_square_root maximum
        meshgrid minimum multiply negative no_op norm not_equal one_hot ones ones_like pad
        parallel_stack pow range rank realdiv reduce_all reduce_any reduce_logsumexp reduce_max
        reduce_mean reduce_min reduce_prod reduce_sum repeat required_space_to_batch_paddings
        reshape reverse reverse_sequence rfftnd roll round saturate_cast scalar_mul scatter_nd
        searchsorted sequence_mask shape shape_n sigmoid sign sin sinh size slice sort
        space_to_batch space_to_batch_nd split sqrt square squeeze stack stop_gradient strided_slice
        subtract tan tanh tensor_scatter_nd_add tensor_scatter_nd_max tensor_scatter_nd_min
        tensor_scatter_nd_sub tensor_scatter_nd_update tensordot tile transpose truediv truncatediv
        truncatemod tuple unique unique_with_counts unravel_index unstack where zeros zeros_like
    """),
    "__operators__": _words("add eq getitem ne ragged_getitem"),
    "audio": _words("decode_wav encode_wav"),
    "bitwise": _words("bitwise_and bitwise_or bitwise_xor invert left_shift right_shift"),
    "debugging": _words("""
        assert_all_finite assert_equal assert_greater assert_greater_equal assert_integer
        assert_less assert_less_equal assert_near assert_negative assert_non_negative
        assert_non_positive assert_none_equal assert_positive assert_rank assert_rank_at_least
        assert_rank_in assert_scalar assert_shapes assert_type check_numerics is_numeric_tensor
    """),
    "dtypes": _words("cast complex saturate_cast"),
    "experimental.numpy": _words("""
        abs absolute add all allclose amax amin angle any append arange arccos arccosh arcsin
        arcsinh arctan arctan2 arctanh argmax argmin argsort around array array_equal asanyarray
        asarray ascontiguousarray atleast_1d atleast_2d atleast_3d average bitwise_and bitwise_not
        bitwise_or bitwise_xor broadcast_arrays broadcast_to cbrt ceil clip compress concatenate
        conj conjugate copy cos cosh count_nonzero cross cumprod cumsum deg2rad diag diag_indices
        diagflat diagonal diff divide divmod dot dsplit dstack einsum empty empty_like equal exp
        exp2 expand_dims expm1 eye fabs fix flatten flip fliplr flipud float_power floor
        floor_divide full full_like gcd geomspace greater greater_equal heaviside hsplit hstack
        hypot identity imag inner isclose iscomplex iscomplexobj isfinite isinf isnan isneginf
        isposinf isreal isrealobj isscalar ix_ kron lcm less less_equal linspace log log10 log1p
        log2 logaddexp logaddexp2 logical_and logical_not logical_or logical_xor logspace matmul max
        maximum mean meshgrid min minimum mod moveaxis multiply nanmean nanprod nansum ndim negative
        nextafter nonzero not_equal ones ones_like outer pad polyval positive power prod ptp rad2deg
        ravel real reciprocal remainder repeat reshape roll rot90 round select shape sign signbit
        sin sinc sinh size sort split sqrt square squeeze stack std subtract sum swapaxes take
        take_along_axis tan tanh tensordot tile trace transpose tri tril triu true_divide vander var
        vdot vsplit vstack where zeros zeros_like
    """),
    "image": _words("""
        adjust_brightness adjust_contrast adjust_gamma adjust_hue adjust_jpeg_quality
        adjust_saturation central_crop combined_non_max_suppression convert_image_dtype
        crop_and_resize crop_to_bounding_box decode_and_crop_jpeg decode_bmp decode_gif decode_image
        decode_jpeg decode_jxl decode_png decode_webp draw_bounding_boxes encode_jpeg encode_png
        extract_glimpse extract_jpeg_shape extract_patches flip_left_right flip_up_down
        generate_bounding_box_proposals grayscale_to_rgb hsv_to_rgb image_gradients is_jpeg
        non_max_suppression non_max_suppression_overlaps non_max_suppression_padded
        non_max_suppression_with_scores pad_to_bounding_box per_image_standardization psnr
        random_brightness random_contrast random_crop random_flip_left_right random_flip_up_down
        random_hue random_jpeg_quality random_saturation resize resize_with_crop_or_pad
        resize_with_pad rgb_to_grayscale rgb_to_hsv rgb_to_yiq rgb_to_yuv rot90
        sample_distorted_bounding_box sobel_edges ssim ssim_multiscale stateless_random_brightness
        stateless_random_contrast stateless_random_crop stateless_random_flip_left_right
        stateless_random_flip_up_down stateless_random_hue stateless_random_jpeg_quality
        stateless_random_saturation stateless_sample_distorted_bounding_box total_variation
        transpose yiq_to_rgb yuv_to_rgb resize_area resize_bicubic resize_bilinear
        resize_image_with_crop_or_pad resize_image_with_pad resize_images resize_nearest_neighbor
    """),
    "io": _words("""
        decode_and_crop_jpeg decode_base64 decode_bmp decode_gif decode_image decode_jpeg decode_png
        decode_raw encode_base64 encode_jpeg encode_png extract_jpeg_shape is_jpeg
    """),
    "keras.activations": _words("""
        elu exponential gelu hard_sigmoid linear log_softmax mish relu selu sigmoid softmax softplus
        softsign swish tanh
    """),
    "keras.backend": _words("""
        abs all any arange argmax argmin batch_dot batch_flatten batch_normalization bias_add
        binary_crossentropy binary_focal_crossentropy cast cast_to_floatx categorical_crossentropy
        categorical_focal_crossentropy clip concatenate constant conv1d conv2d conv2d_transpose
        conv3d cos count_params ctc_batch_cost ctc_decode ctc_label_dense_to_sparse cumprod cumsum
        depthwise_conv2d dot dropout dtype elu epsilon equal exp expand_dims eye flatten gather
        greater greater_equal hard_sigmoid identity image_data_format in_top_k int_shape is_sparse
        l2_normalize less less_equal local_conv1d local_conv2d log max maximum mean min minimum ndim
        normalize_batch_in_training not_equal one_hot ones ones_like permute_dimensions pool2d
        pool3d pow prod random_bernoulli random_binomial random_normal random_uniform relu repeat
        repeat_elements reshape resize_images resize_volumes reverse round separable_conv2d shape
        sigmoid sign sin softmax softplus softsign sparse_categorical_crossentropy
        spatial_2d_padding spatial_3d_padding sqrt square squeeze stack std stop_gradient sum switch
        tanh temporal_padding tile to_dense transpose truncated_normal var zeros zeros_like
    """),
    "keras.losses": _words("""
        KLD MAE MAPE MSE MSLE binary_crossentropy binary_focal_crossentropy categorical_crossentropy
        categorical_focal_crossentropy categorical_hinge cosine_similarity hinge huber kl_divergence
        kld kullback_leibler_divergence log_cosh logcosh mae mape mean_absolute_error
        mean_absolute_percentage_error mean_squared_error mean_squared_logarithmic_error mse msle
        poisson sparse_categorical_crossentropy squared_hinge
    """),
    "keras.metrics": _words("""
        KLD MAE MAPE MSE MSLE binary_accuracy binary_crossentropy binary_focal_crossentropy
        categorical_accuracy categorical_crossentropy hinge kl_divergence kld log_cosh logcosh mae
        mape mean_absolute_error mean_absolute_percentage_error mean_squared_error
        mean_squared_logarithmic_error mse msle poisson sparse_categorical_accuracy
        sparse_categorical_crossentropy sparse_top_k_categorical_accuracy squared_hinge
        top_k_categorical_accuracy
    """),
    "linalg": _words("""
        adjoint band_part banded_triangular_solve cholesky cholesky_solve cross det diag diag_part
        eig eigh eigh_tridiagonal eigvals eigvalsh einsum expm eye global_norm inv l2_normalize
        logdet logm lstsq lu lu_matrix_inverse lu_reconstruct lu_solve matmul matrix_rank
        matrix_transpose matvec norm normalize pinv qr set_diag slogdet solve sqrtm svd tensor_diag
        tensor_diag_part tensordot trace transpose triangular_solve tridiagonal_matmul
        tridiagonal_solve
    """),
    "math": _words("""
        abs accumulate_n acos acosh add add_n angle approx_max_k approx_min_k argmax argmin asin
        asinh atan atan2 atanh bessel_i0 bessel_i0e bessel_i1 bessel_i1e betainc bincount ceil
        confusion_matrix conj cos cosh count_nonzero cumprod cumsum cumulative_logsumexp digamma
        divide divide_no_nan equal erf erfc erfcinv erfinv exp expm1 floor floordiv floormod greater
        greater_equal igamma igammac imag in_top_k invert_permutation is_finite is_inf is_nan
        is_non_decreasing is_strictly_increasing l2_normalize lbeta less less_equal lgamma log log1p
        log_sigmoid log_softmax logical_and logical_not logical_or logical_xor maximum minimum mod
        multiply multiply_no_nan ndtri negative nextafter not_equal polygamma polyval pow real
        reciprocal reciprocal_no_nan reduce_all reduce_any reduce_euclidean_norm reduce_logsumexp
        reduce_max reduce_mean reduce_min reduce_prod reduce_std reduce_sum reduce_variance rint
        round rsqrt scalar_mul segment_max segment_mean segment_min segment_prod segment_sum sigmoid
        sign sin sinh sobol_sample softmax softplus softsign sqrt square squared_difference subtract
        tan tanh top_k truediv unsorted_segment_max unsorted_segment_mean unsorted_segment_min
        unsorted_segment_prod unsorted_segment_sqrt_n unsorted_segment_sum xdivy xlog1py xlogy
        zero_fraction zeta
    """),
    "math.special": _words("""
        bessel_i0 bessel_i0e bessel_i1 bessel_i1e bessel_j0 bessel_j1 bessel_k0 bessel_k0e bessel_k1
        bessel_k1e bessel_y0 bessel_y1 dawsn expint fresnel_cos fresnel_sin spence
    """),
    "nn": _words("""
        approx_max_k approx_min_k atrous_conv2d atrous_conv2d_transpose avg_pool avg_pool1d
        avg_pool2d avg_pool3d avg_pool_v2 batch_norm_with_global_normalization batch_normalization
        bias_add collapse_repeated compute_average_loss conv1d conv1d_transpose conv2d
        conv2d_transpose conv3d conv3d_transpose conv_transpose convolution crelu
        ctc_beam_search_decoder ctc_greedy_decoder ctc_loss ctc_unique_labels depth_to_space
        depthwise_conv2d depthwise_conv2d_backprop_filter depthwise_conv2d_backprop_input
        depthwise_conv2d_native dilation2d dropout elu embedding_lookup embedding_lookup_sparse
        erosion2d fractional_avg_pool fractional_max_pool fused_batch_norm gelu in_top_k
        isotonic_regression l2_loss l2_normalize leaky_relu local_response_normalization
        log_poisson_loss log_softmax lrn max_pool max_pool1d max_pool2d max_pool3d max_pool_v2
        max_pool_with_argmax moments nce_loss normalize_moments pool relu relu6
        safe_embedding_lookup_sparse sampled_softmax_loss scale_regularization_loss selu
        separable_conv2d sigmoid sigmoid_cross_entropy_with_logits silu softmax
        softmax_cross_entropy_with_logits softmax_cross_entropy_with_logits_v2 softplus softsign
        space_to_batch space_to_depth sparse_softmax_cross_entropy_with_logits sufficient_statistics
        swish tanh top_k weighted_cross_entropy_with_logits weighted_moments with_space_to_batch
        xw_plus_b zero_fraction
    """),
    "nn.experimental": _words("general_dropout stateless_dropout"),
    "quantization": _words("""
        dequantize fake_quant_with_min_max_args fake_quant_with_min_max_args_gradient
        fake_quant_with_min_max_vars fake_quant_with_min_max_vars_gradient
        fake_quant_with_min_max_vars_per_channel fake_quant_with_min_max_vars_per_channel_gradient
        quantize quantize_and_dequantize quantize_and_dequantize_v2 quantized_concat
    """),
    "ragged": _words("""
        boolean_mask constant cross cross_hashed range row_splits_to_segment_ids
        segment_ids_to_row_splits stack stack_dynamic_partitions
    """),
    "random": _words("""
        categorical gamma normal poisson shuffle stateless_binomial stateless_categorical
        stateless_gamma stateless_normal stateless_parameterized_truncated_normal stateless_poisson
        stateless_truncated_normal stateless_uniform truncated_normal uniform
    """),
    "random.experimental": _words(
        "index_shuffle stateless_fold_in stateless_shuffle stateless_split"
    ),
    "sets": _words("difference intersection size union"),
    "signal": _words("""
        dct fft fft2d fft3d fftnd fftshift frame hamming_window hann_window idct ifft ifft2d ifft3d
        ifftnd ifftshift inverse_mdct inverse_stft irfft irfft2d irfft3d irfftnd
        kaiser_bessel_derived_window kaiser_window linear_to_mel_weight_matrix mdct
        mfccs_from_log_mel_spectrograms overlap_and_add rfft rfft2d rfft3d rfftnd stft vorbis_window
    """),
    "sparse": _words("""
        add bincount concat cross cross_hashed expand_dims eye fill_empty_rows from_dense mask
        maximum minimum reduce_max reduce_sum reorder reset_shape reshape retain sampled_addmm
        segment_mean segment_sqrt_n segment_sum slice softmax sparse_dense_matmul split to_dense
        to_indicator transpose
    """),
    "strings": _words("""
        as_string bytes_split format join length lower ngrams reduce_join regex_full_match
        regex_replace split strip substr to_hash_bucket to_hash_bucket_fast to_hash_bucket_strong
        to_number unicode_decode unicode_decode_with_offsets unicode_encode unicode_script
        unicode_split unicode_split_with_offsets unicode_transcode unsorted_segment_join upper
    """),
    "compat.v1": _words("""
        angle arg_max arg_min batch_gather batch_to_space_nd betainc bincount ceil check_numerics
        cholesky cholesky_solve confusion_matrix conj count_nonzero cross cumprod decode_base64
        decode_raw depth_to_space dequantize diag diag_part digamma div div_no_nan encode_base64 erf
        erfc expm1 extract_image_patches fake_quant_with_min_max_args fake_quant_with_min_max_vars
        fake_quant_with_min_max_vars_per_channel fft fft2d fft3d floor_div floordiv floormod
        global_norm ifft ifft2d ifft3d igamma igammac imag invert_permutation is_finite is_inf
        is_nan is_non_decreasing is_numeric_tensor is_strictly_increasing lbeta lgamma lin_space log
        log1p log_sigmoid logical_xor matrix_band_part matrix_determinant matrix_diag
        matrix_diag_part matrix_inverse matrix_set_diag matrix_solve matrix_solve_ls
        matrix_transpose matrix_triangular_solve mod multinomial polygamma qr quantize quantize_v2
        random_crop random_gamma random_normal random_poisson random_shuffle random_uniform real
        reciprocal reduce_join regex_replace reverse_v2 rint rsqrt segment_max segment_mean
        segment_min segment_prod segment_sum self_adjoint_eig self_adjoint_eigvals setdiff1d
        space_to_depth sparse_add sparse_concat sparse_fill_empty_rows sparse_mask sparse_matmul
        sparse_maximum sparse_minimum sparse_reduce_max sparse_reduce_sum sparse_reorder
        sparse_reset_shape sparse_reshape sparse_retain sparse_segment_mean sparse_segment_sqrt_n
        sparse_segment_sum sparse_slice sparse_softmax sparse_split sparse_tensor_dense_matmul
        sparse_tensor_to_dense sparse_to_dense sparse_to_indicator sparse_transpose
        squared_difference string_join string_split string_strip string_to_hash_bucket
        string_to_hash_bucket_fast string_to_hash_bucket_strong string_to_number substr svd
        tensor_scatter_add tensor_scatter_sub tensor_scatter_update to_bfloat16 to_complex128
        to_complex64 to_double to_float to_int32 to_int64 trace truncated_normal
        unsorted_segment_max unsorted_segment_mean unsorted_segment_min unsorted_segment_prod
        unsorted_segment_sqrt_n unsorted_segment_sum verify_tensor_all_finite where_v2 zeta
    """),
}

FUNCTIONS = frozenset(
    f"{module}.{name}".lstrip(".") for module, names in _BY_MODULE.items() for name in names
)
"""Public names of pure functions, without `tf.`; `compat.v1.` may stand before any of them."""

CLASS_METHODS = frozenset(f"RaggedTensor.from_{name}" for name in (
    "value_rowids", "row_splits", "row_lengths", "row_starts", "row_limits", "uniform_row_length",
    "nested_value_rowids", "nested_row_splits", "nested_row_lengths", "tensor", "sparse",
))  # fmt: skip
"""What a ClassMethod layer may call."""

ATTRIBUTES = _words("""
    values flat_values row_splits nested_row_splits value_rowids nested_value_rowids nrows
    row_starts row_limits row_lengths nested_row_lengths bounding_shape with_values with_flat_values
    with_row_splits_dtype merge_dims to_tensor to_sparse indices dense_shape
""")
"""Properties and methods of ragged and sparse tensors that an InstanceProperty or InstanceMethod
layer may take.
"""

OPERATIONS = _words("""
    Abs AccumulateNV2 Acos Acosh Add AddN AddV2 AdjustContrast AdjustContrastv2 AdjustHue
    AdjustSaturation All Angle Any ApproxTopK ApproximateEqual ArgMax ArgMin AsString Asin Asinh
    Atan Atan2 Atanh AudioSpectrogram AvgPool AvgPool3D AvgPool3DGrad AvgPoolGrad
    BandedTriangularSolve BatchCholesky BatchCholeskyGrad BatchFFT BatchFFT2D BatchFFT3D BatchIFFT
    BatchIFFT2D BatchIFFT3D BatchMatMul BatchMatMulV2 BatchMatMulV3 BatchMatrixBandPart
    BatchMatrixDeterminant BatchMatrixDiag BatchMatrixDiagPart BatchMatrixInverse BatchMatrixSetDiag
    BatchMatrixSolve BatchMatrixSolveLs BatchMatrixTriangularSolve BatchNormWithGlobalNormalization
    BatchNormWithGlobalNormalizationGrad BatchSelfAdjointEig BatchSelfAdjointEigV2 BatchSvd
    BatchToSpace BatchToSpaceND BesselI0 BesselI0e BesselI1 BesselI1e BesselJ0 BesselJ1 BesselK0
    BesselK0e BesselK1 BesselK1e BesselY0 BesselY1 Betainc BiasAdd BiasAddGrad BiasAddV1 Bincount
    Bitcast BitwiseAnd BitwiseOr BitwiseXor BroadcastArgs BroadcastGradientArgs BroadcastTo
    Bucketize Cast Ceil CheckNumerics CheckNumericsV2 Cholesky CholeskyGrad ClipByValue
    CombinedNonMaxSuppression Complex ComplexAbs Concat ConcatOffset ConcatV2 Conj
    ConjugateTranspose Const Conv Conv2D Conv2DBackpropFilter Conv2DBackpropInput Conv3D
    Conv3DBackpropFilterV2 Conv3DBackpropInputV2 Cos Cosh CropAndResize CropAndResizeGradBoxes
    CropAndResizeGradImage Cross Cumprod Cumsum CumulativeLogsumexp DataFormatDimMap
    DataFormatVecPermute Dawsn DecodeAndCropJpeg DecodeBase64 DecodeBmp DecodeGif DecodeImage
    DecodeJpeg DecodePng DecodeRaw DecodeWav DenseBincount DenseCountSparseOutput
    DenseToDenseSetOperation DenseToSparseSetOperation DepthToSpace DepthwiseConv2dNative
    DepthwiseConv2dNativeBackpropFilter DepthwiseConv2dNativeBackpropInput Dequantize Diag DiagPart
    Digamma Dilation2D Dilation2DBackpropFilter Dilation2DBackpropInput Div DivNoNan
    DrawBoundingBoxes DrawBoundingBoxesV2 DynamicPartition DynamicStitch EditDistance Eig Einsum Elu
    EluGrad EncodeBase64 EncodeJpeg EncodePng EncodeWav EnsureShape Equal Erf Erfc Erfinv
    EuclideanNorm Exp ExpandDims Expint Expm1 ExtractGlimpse ExtractGlimpseV2 ExtractImagePatches
    ExtractJpegShape ExtractVolumePatches FFT FFT2D FFT3D FFTND FakeQuantWithMinMaxArgs
    FakeQuantWithMinMaxArgsGradient FakeQuantWithMinMaxVars FakeQuantWithMinMaxVarsGradient
    FakeQuantWithMinMaxVarsPerChannel FakeQuantWithMinMaxVarsPerChannelGradient Fill Fingerprint
    Floor FloorDiv FloorMod FractionalAvgPool FractionalAvgPoolGrad FractionalMaxPool
    FractionalMaxPoolGrad FresnelCos FresnelSin FusedBatchNorm FusedBatchNormGrad
    FusedBatchNormGradV2 FusedBatchNormGradV3 FusedBatchNormV2 FusedBatchNormV3 FusedPadConv2D
    FusedResizeAndPadConv2D Gather GatherNd GatherV2 Greater GreaterEqual GuaranteeConst HSVToRGB
    HistogramFixedWidth IFFT IFFT2D IFFT3D IFFTND IRFFT IRFFT2D IRFFT3D IRFFTND Identity IdentityN
    Igamma IgammaGradA Igammac Imag ImageProjectiveTransformV2 ImageProjectiveTransformV3 InTopK
    InTopKV2 Inv InvGrad Invert InvertPermutation IsFinite IsInf IsNan IsotonicRegression L2Loss LRN
    LRNGrad LeakyRelu LeakyReluGrad LeftShift Less LessEqual Lgamma LinSpace ListDiff Log Log1p
    LogMatrixDeterminant LogSoftmax LogicalAnd LogicalNot LogicalOr LowerBound Lu MatMul
    MatrixBandPart MatrixDeterminant MatrixDiag MatrixDiagPart MatrixDiagPartV2 MatrixDiagPartV3
    MatrixDiagV2 MatrixDiagV3 MatrixExponential MatrixInverse MatrixLogarithm MatrixSetDiag
    MatrixSetDiagV2 MatrixSetDiagV3 MatrixSolve MatrixSolveLs MatrixSquareRoot MatrixTriangularSolve
    Max MaxPool MaxPool3D MaxPool3DGrad MaxPoolGrad MaxPoolGradV2 MaxPoolGradWithArgmax MaxPoolV2
    MaxPoolWithArgmax Maximum Mean Mfcc Min Minimum MirrorPad MirrorPadGrad Mod Mul MulNoNan
    Multinomial Ndtri Neg NextAfter NoOp NonMaxSuppression NonMaxSuppressionV2 NonMaxSuppressionV3
    NonMaxSuppressionV4 NonMaxSuppressionV5 NonMaxSuppressionWithOverlaps NotEqual NthElement OneHot
    OnesLike Pack Pad PadV2 ParallelConcat ParallelDynamicStitch ParameterizedTruncatedNormal
    Polygamma PopulationCount Pow PreventGradient Prod Qr QuantizeAndDequantize
    QuantizeAndDequantizeV2 QuantizeAndDequantizeV3 QuantizeAndDequantizeV4 QuantizeV2
    QuantizedResizeBilinear RFFT RFFT2D RFFT3D RFFTND RGBToHSV RaggedBincount
    RaggedCountSparseOutput RaggedCross RaggedGather RaggedRange RaggedTensorToSparse
    RaggedTensorToTensor RandomCrop RandomGamma RandomPoisson RandomPoissonV2 RandomShuffle
    RandomStandardNormal RandomUniform RandomUniformInt Range Rank Real RealDiv Reciprocal
    ReciprocalGrad ReduceJoin RegexFullMatch RegexReplace Relu Relu6 Relu6Grad ReluGrad Reshape
    ResizeArea ResizeBicubic ResizeBicubicGrad ResizeBilinear ResizeBilinearGrad
    ResizeNearestNeighbor ResizeNearestNeighborGrad Reverse ReverseSequence ReverseV2 RightShift
    Rint Roll Round Rsqrt RsqrtGrad SampleDistortedBoundingBox SampleDistortedBoundingBoxV2
    ScaleAndTranslate ScatterNd SegmentMax SegmentMaxV2 SegmentMean SegmentMin SegmentMinV2
    SegmentProd SegmentProdV2 SegmentSum SegmentSumV2 Select SelectV2 SelfAdjointEig
    SelfAdjointEigV2 Selu SeluGrad SetSize Shape ShapeN Sigmoid SigmoidGrad Sign Sin Sinh Size Slice
    Snapshot SobolSample Softmax SoftmaxCrossEntropyWithLogits Softplus SoftplusGrad Softsign
    SoftsignGrad SpaceToBatch SpaceToBatchND SpaceToDepth SparseAdd SparseBincount SparseConcat
    SparseCountSparseOutput SparseCross SparseCrossHashed SparseCrossV2 SparseDenseCwiseAdd
    SparseDenseCwiseDiv SparseDenseCwiseMul SparseFillEmptyRows SparseMatMul SparseReduceMax
    SparseReduceMaxSparse SparseReduceSum SparseReduceSumSparse SparseReorder SparseReshape
    SparseSegmentMean SparseSegmentMeanWithNumSegments SparseSegmentSqrtN
    SparseSegmentSqrtNWithNumSegments SparseSegmentSum SparseSegmentSumWithNumSegments SparseSlice
    SparseSoftmax SparseSoftmaxCrossEntropyWithLogits SparseSparseMaximum SparseSparseMinimum
    SparseSplit SparseTensorDenseAdd SparseTensorDenseMatMul SparseToDense
    SparseToSparseSetOperation Spence Split SplitV Sqrt SqrtGrad Square SquaredDifference Squeeze
    StatelessMultinomial StatelessParameterizedTruncatedNormal StatelessRandomBinomial
    StatelessRandomGammaV2 StatelessRandomNormal StatelessRandomPoisson StatelessRandomUniform
    StatelessRandomUniformFullInt StatelessRandomUniformInt StatelessSampleDistortedBoundingBox
    StatelessTruncatedNormal StaticRegexFullMatch StaticRegexReplace StopGradient StridedSlice
    StridedSliceGrad StringFormat StringJoin StringLength StringLower StringNGrams StringSplit
    StringSplitV2 StringStrip StringToHashBucket StringToHashBucketFast StringToHashBucketStrong
    StringToNumber StringUpper Sub Substr Sum Svd Tan Tanh TanhGrad TensorScatterAdd
    TensorScatterMax TensorScatterMin TensorScatterSub TensorScatterUpdate TensorStridedSliceUpdate
    Tile TileGrad TopK TopKV2 Transpose TridiagonalMatMul TridiagonalSolve TruncateDiv TruncateMod
    TruncatedNormal UnicodeDecode UnicodeDecodeWithOffsets UnicodeEncode UnicodeScript
    UnicodeTranscode Unique UniqueV2 UniqueWithCounts UniqueWithCountsV2 Unpack UnravelIndex
    UnsortedSegmentJoin UnsortedSegmentMax UnsortedSegmentMin UnsortedSegmentProd UnsortedSegmentSum
    UpperBound Where Xdivy Xlog1py Xlogy ZerosLike Zeta
""")
"""Operations that a TensorFlowOpLayer may run."""

FUNCTION_MODULES = frozenset(f"tensorflow.python.ops.{name}" for name in (
    "array_ops", "bitwise_ops", "clip_ops", "gen_array_ops", "gen_bitwise_ops", "gen_math_ops",
    "gen_nn_ops", "gen_linalg_ops", "gen_special_math_ops", "math_ops", "nn", "nn_impl", "nn_ops",
    "special_math_ops", "linalg_ops", "linalg.linalg_impl",
))  # fmt: skip
"""Modules inside TensorFlow whose functions of one tensor a config may name as an activation."""

UNARY_FUNCTIONS = _words("""
    abs acos acosh asin asinh atan atanh ceil cos cosh crelu digamma elu erf erfc exp expm1 floor
    gelu identity l2_normalize leaky_relu lgamma log log1p log_sigmoid log_softmax negative
    reciprocal relu relu6 rint round rsqrt selu sigmoid sign sin sinh softmax softplus softsign sqrt
    square stop_gradient swish tan tanh
""")
"""Names of those functions: each takes one tensor and computes another."""


def is_pure_function(symbol: object) -> bool:
    """Return whether a public name of TensorFlow, without `tf.`, is a pure function of tensors.

    Example:
        >>> [
        ...     is_pure_function(name)
        ...     for name in ("math.add", "compat.v1.nn.relu", "io.write_file", "print")
        ... ]
        [True, True, False, False]
    """
    return isinstance(symbol, str) and (
        symbol in FUNCTIONS or symbol.removeprefix("compat.v1.") in FUNCTIONS
    )


def is_unary_function(module: object, name: object) -> bool:
    """Return whether module and name are those of a TensorFlow function of one tensor."""
    return module in FUNCTION_MODULES and name in UNARY_FUNCTIONS
