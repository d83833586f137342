"""The classes and functions of Keras that a model file may name, by the place where they may stand.

Names are those of tf_keras 2.12 to 2.21 and of Keras 3. A class is named by module and class
(`keras.layers`, `Dense`), a function by module and name. Left out are classes that read files,
unpickle, or call code that the config names: `TFSMLayer` (loads a SavedModel from a path),
`TorchModuleWrapper` (unpickles), `JaxLayer` and `FlaxLayer` (call functions), `ExportArchive`,
`PyMetric`; and all that is no part of a model's config (`keras.utils`, `keras.callbacks`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Names:
    """The names that may stand in one kind of place.

    Attributes:
        modules: Modules below `keras.` that the names are taken from.
        classes: Class names.
        functions: Names of functions, also where a string alone names them.
    """

    modules: tuple[str, ...] = ()
    classes: frozenset[str] = field(default_factory=frozenset)
    functions: frozenset[str] = field(default_factory=frozenset)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _ranked(text: str) -> frozenset[str]:
    """Return each name once for 1, 2 and 3 dimensions; a `#` marks the place of the number."""
    return frozenset(name.replace("#", f"{rank}D") for name in text.split() for rank in (1, 2, 3))


LAYER = "layer"
ACTIVATION = "activation"
INITIALIZER = "initializer"
REGULARIZER = "regularizer"
CONSTRAINT = "constraint"
LOSS = "loss"
METRIC = "metric"
OPTIMIZER = "optimizer"
LEARNING_RATE = "learning rate"
POLICY = "dtype policy"
COLUMN = "feature column"
FUNCTION = "function"

LAYERS = _words("""
    AbstractRNNCell Activation ActivityRegularization Add AdditiveAttention AlphaDropout Attention
    AugMix AutoContrast Average BatchNormalization Bidirectional CategoryEncoding CenterCrop
    Concatenate ContrastLimitedAdaptiveHistogramEqualization CuDNNGRU CuDNNLSTM CutMix Dense
    DenseFeatures DepthwiseConv1D DepthwiseConv2D Discretization Dot Dropout DynamicEmbedding
    DynamicLookup ELU EinsumDense Embedding Equalization Flatten GRU GRUCell GaussianDropout
    GaussianNoise GroupNormalization GroupQueryAttention GroupedQueryAttention HashedCrossing
    Hashing Identity InputLayer IntegerLookup LSTM LSTMCell Lambda Layer LayerNormalization
    LeakyReLU LinearModel LocallyConnected1D LocallyConnected2D Masking MaxNumBoundingBoxes Maximum
    MelSpectrogram Minimum MixUp MultiHeadAttention Multiply Normalization PReLU Permute Pipeline
    PreprocessingLayer RMSNormalization RNN RandAugment RandomBrightness RandomColorDegeneration
    RandomColorJitter RandomContrast RandomCrop RandomElasticTransform RandomErasing RandomFlip
    RandomFourierFeatures RandomGaussianBlur RandomGrayscale RandomHeight RandomHue RandomInvert
    RandomPerspective RandomPosterization RandomRotation RandomSaturation RandomSharpness
    RandomShear RandomTranslation RandomWidth RandomZoom ReLU RepeatVector Rescaling Reshape
    Resizing ReversibleEmbedding STFTSpectrogram SeparableConv1D SeparableConv2D SequenceFeatures
    SimpleRNN SimpleRNNCell Softmax Solarization SpectralNormalization StackedRNNCells StringLookup
    Subtract SyncBatchNormalization TextVectorization ThresholdedReLU TimeDistributed
    UnitNormalization WideDeepModel Wrapper
""") | _ranked("""
    AdaptiveAveragePooling# AdaptiveMaxPooling# AveragePooling# Conv# Conv#Transpose ConvLSTM#
    Cropping# GlobalAveragePooling# GlobalMaxPooling# MaxPooling# SpatialDropout#
    UpSampling# ZeroPadding#
""")
"""Layers that Keras exports; DynamicEmbedding and DynamicLookup are refused later, with their own
reason.
"""

MODELS = frozenset({"Functional", "Sequential", "Model"})
ACTIVATION_LAYERS = frozenset({"ELU", "LeakyReLU", "PReLU", "ReLU", "Softmax", "ThresholdedReLU"})
"""Layers that may stand where an activation is named."""

OPERATION_LAYERS = frozenset({
    "TFOpLambda", "SlicingOpLambda", "ClassMethod", "InstanceMethod", "InstanceProperty",
    "TensorFlowOpLayer",
})  # fmt: skip
"""Layers that call an operation which their config names; see `tensorflow_names`."""

APPLICATION_LAYERS: Mapping[str, frozenset[str]] = {
    "applications.convnext": frozenset({"LayerScale", "StochasticDepth"}),
    "applications.inception_resnet_v2": frozenset({"CustomScaleLayer"}),
}
"""Layers that `keras.applications` does not export, by the module that defines them for its own
models.
"""
NOT_LOADED_BY_TF_KERAS = frozenset({"LayerScale", "StochasticDepth"})
"""Those of them that tf_keras does not load from its own files without `custom_objects`."""

MODEL_MODULES = frozenset({
    "", "models", "engine.functional", "engine.sequential", "engine.training", "models.functional",
    "models.sequential", "models.model",
})  # fmt: skip
OPERATION_MODULES = frozenset({"layers.core.tf_op_layer", "layers.core", "engine.base_layer"})

KERAS: Mapping[str, Names] = {
    LAYER: Names(
        (
            "layers",
            "layers.experimental",
            "layers.experimental.preprocessing",
            "experimental",
            "layers.preprocessing",
        ),
        LAYERS,
    ),
    ACTIVATION: Names(
        ("activations",),
        functions=_words("""
            celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh
            leaky_relu linear log_sigmoid log_softmax mish relu relu6 selu sigmoid silu soft_shrink
            softmax softplus softsign sparse_plus sparse_sigmoid sparsemax squareplus swish tanh
            tanh_shrink threshold
        """),
    ),
    INITIALIZER: Names(
        ("initializers",),
        _words("""
            Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity IdentityInitializer
            Initializer LecunNormal LecunUniform Ones Orthogonal OrthogonalInitializer RandomNormal
            RandomUniform STFT STFTInitializer TruncatedNormal VarianceScaling Zeros constant
            glorot_normal glorot_uniform he_normal he_uniform identity lecun_normal lecun_uniform
            ones orthogonal random_normal random_uniform stft truncated_normal variance_scaling
            zeros normal uniform one zero glorotnormal glorotuniform henormal heuniform lecunnormal
            lecununiform randomnormal randomuniform truncatednormal variancescaling
        """),
        frozenset({"gaussian", "laplacian"}),  # of RandomFourierFeatures, which knows them itself
    ),
    REGULARIZER: Names(
        ("regularizers",),
        _words("L1 L1L2 L2 OrthogonalRegularizer Regularizer l1 l2 orthogonal_regularizer"),
        _words("l1 l2 l1_l2 L1L2 orthogonal_regularizer"),
    ),
    CONSTRAINT: Names(
        ("constraints",),
        _words("""
            Constraint MaxNorm MinMaxNorm NonNeg RadialConstraint UnitNorm max_norm maxnorm
            min_max_norm non_neg nonneg radial_constraint unit_norm unitnorm
        """),
    ),
    LOSS: Names(
        ("losses", "metrics", "__internal__.losses"),
        _words("""
            BinaryCrossentropy BinaryFocalCrossentropy CTC CategoricalCrossentropy
            CategoricalFocalCrossentropy CategoricalGeneralizedCrossEntropy CategoricalHinge Circle
            CosineSimilarity Dice Hinge Huber KLDivergence LogCosh Loss LossFunctionWrapper
            MeanAbsoluteError MeanAbsolutePercentageError MeanSquaredError
            MeanSquaredLogarithmicError Poisson SparseCategoricalCrossentropy SquaredHinge Tversky
        """),
        _words("""
            KLD MAE MAPE MSE MSLE bce binary_crossentropy binary_focal_crossentropy
            categorical_crossentropy categorical_focal_crossentropy
            categorical_generalized_cross_entropy categorical_hinge circle cosine_proximity
            cosine_similarity ctc dice hinge huber huber_loss kl_divergence kld
            kullback_leibler_divergence log_cosh logcosh mae mape mean_absolute_error
            mean_absolute_percentage_error mean_squared_error mean_squared_logarithmic_error mse
            msle poisson sparse_categorical_crossentropy squared_hinge tversky
        """),
    ),
    METRIC: Names(
        ("metrics", "metrics.base_metric", "losses"),
        _words("""
            AUC Accuracy BinaryAccuracy BinaryCrossentropy BinaryIoU CategoricalAccuracy
            CategoricalCrossentropy CategoricalHinge ConcordanceCorrelation CosineSimilarity F1Score
            FBetaScore FalseNegatives FalsePositives Hinge IoU KLDivergence LogCoshError Mean
            MeanAbsoluteError MeanAbsolutePercentageError MeanIoU MeanMetricWrapper
            MeanRelativeError MeanSquaredError MeanSquaredLogarithmicError MeanTensor Metric
            OneHotIoU OneHotMeanIoU PearsonCorrelation Poisson Precision PrecisionAtRecall R2Score
            Recall RecallAtPrecision RootMeanSquaredError SensitivityAtSpecificity
            SparseCategoricalAccuracy SparseCategoricalCrossentropy SparseTopKCategoricalAccuracy
            SpecificityAtSensitivity SquaredHinge Sum SumOverBatchSize SumOverBatchSizeMetricWrapper
            TopKCategoricalAccuracy TrueNegatives TruePositives
        """),
        _words("""
            acc accuracy binary_accuracy categorical_accuracy ce concordance_correlation cosine
            crossentropy pearson_correlation sparse_categorical_accuracy
            sparse_top_k_categorical_accuracy top_k_categorical_accuracy
        """),
    ),
    OPTIMIZER: Names(
        (
            "optimizers",
            "optimizers.legacy",
            "optimizers.experimental",
            "mixed_precision",
            "mixed_precision.loss_scale_optimizer",
            "dtensor.experimental.optimizers",
        ),
        _words("""
            Adadelta Adafactor Adagrad Adam AdamW Adamax Ftrl Lamb Lion LossScaleOptimizer
            LossScaleOptimizerV3 MultiOptimizer Muon Nadam Optimizer RMSprop SGD ScheduleFreeAdamW
        """),
    ),
    LEARNING_RATE: Names(
        ("optimizers.schedules", "experimental"),
        _words("""
            CosineDecay CosineDecayRestarts ExponentialDecay InverseTimeDecay LearningRateSchedule
            PiecewiseConstantDecay PolynomialDecay
        """),
    ),
    POLICY: Names(
        ("", "dtype_policies", "mixed_precision", "mixed_precision.experimental"),
        _words("""
            AWQDTypePolicy DTypePolicy DTypePolicyMap FloatDTypePolicy GPTQDTypePolicy
            Int4DTypePolicy Policy PolicyV1 QuantizedDTypePolicy QuantizedFloat8DTypePolicy
        """),
    ),
    "quantizer": Names(
        ("quantizers",),
        _words("""
            AWQConfig AbsMaxQuantizer Float8QuantizationConfig GPTQConfig Int4QuantizationConfig
            Int8QuantizationConfig QuantizationConfig Quantizer
        """),
    ),
    "seed": Names(("random", "random.seed_generator"), frozenset({"SeedGenerator"})),
}
"""Names by kind of place."""

METRIC_FUNCTIONS = KERAS[METRIC].functions | KERAS[LOSS].functions
"""Functions that may stand as a metric: the losses as well."""

FEATURE_COLUMNS = _words("""
    BucketizedColumn CategoricalColumn CrossedColumn EmbeddingColumn HashedCategoricalColumn
    IdentityCategoricalColumn IndicatorColumn NumericColumn SequenceCategoricalColumn
    SequenceNumericColumn SharedEmbeddingColumn VocabularyListCategoricalColumn
    WeightedCategoricalColumn
""")
"""Columns of DenseFeatures; not VocabularyFileCategoricalColumn, which reads a file that the config
names.
"""

KERAS_3_OPERATIONS: Mapping[str, frozenset[str]] = {
    "ops.core": _words(
        "Cast ConvertToTensor SaturateCast Scatter ScatterUpdate Slice SliceUpdate StopGradient"
        " Unstack"
    ),
    "ops.einops": _words("Rearrange"),
    "ops.image": _words("""
        AffineTransform CropImages ElasticTransform ExtractPatches GaussianBlur HSVToRGB
        MapCoordinates PadImages PerspectiveTransform RGBToGrayscale RGBToHSV Resize SSIM
        ScaleAndTranslate SobelEdges
    """),
    "ops.linalg": _words("""
        Cholesky CholeskyInverse Det Eig Eigh Inv Lstsq LuFactor MatrixRank Norm Pinv Qr SVD Solve
        SolveTriangular
    """),
    "ops.math": _words("""
        CDist Erf Erfc Erfinv ExtractSequences FFT FFT2 IFFT2 IRFFT ISTFT InTopK Logdet Logsumexp
        RFFT Rsqrt STFT SegmentMax SegmentMin SegmentProd SegmentReduction SegmentSum TopK
        ViewAsComplex ViewAsReal
    """),
    "ops.nn": _words("""
        AdaptiveAveragePool AdaptiveMaxPool AveragePool BatchNorm BinaryCrossentropy CTCDecode
        CTCLoss CategoricalCrossentropy Celu Conv ConvTranspose DepthToSpace DepthwiseConv
        DotProductAttention Elu Fold Gelu Glu HardShrink HardSigmoid HardSilu HardTanh LayerNorm
        LeakyRelu LogSigmoid LogSoftmax MaxPool Moments MultiHot Normalize OneHot PSNR Polar RMSNorm
        Relu Relu6 Selu SeparableConv Sigmoid Silu SoftShrink Softmax Softplus Softsign SpaceToDepth
        SparseCategoricalCrossentropy SparsePlus SparseSigmoid Sparsemax Squareplus TanhShrink
        Threshold Unfold
    """),
    "ops.numpy": _words("""
        Abs Absolute Add All AllClose Amax Amin Angle Any Append Arange Arccos Arccosh Arcsin
        Arcsinh Arctan Arctan2 Arctanh Argmax Argmin Argpartition Argsort Array ArraySplit Average
        Bincount BitwiseAnd BitwiseInvert BitwiseLeftShift BitwiseNot BitwiseOr BitwiseRightShift
        BitwiseXor BroadcastTo Cbrt Ceil Clip Concatenate Conj Conjugate Copy Corrcoef Correlate Cos
        Cosh CountNonzero Cross Cumprod Cumsum Deg2rad Diag Diagflat Diagonal Diff Digitize Divide
        DivideNoNan Dot Dsplit Dstack Einsum EmptyLike Equal Exp Exp2 ExpandDims Expm1 Fabs Flip
        Fliplr Flipud Floor FloorDivide Fmax Fmin Fmod Full FullLike Gcd Geomspace GetItem Greater
        GreaterEqual Heaviside Histogram Hsplit Hstack Hypot I0 Imag Inner IsIn Isclose Isfinite
        Isinf Isnan Isneginf Isposinf Isreal Kron Lcm Ldexp LeftShift Less LessEqual Linspace Log
        Log10 Log1p Log2 Logaddexp Logaddexp2 LogicalAnd LogicalNot LogicalOr LogicalXor Logspace
        Matmul Max Maximum Mean Median Meshgrid Min Minimum Mod Moveaxis Multiply NanToNum Nanargmax
        Nanargmin Nancumprod Nancumsum Nanmax Nanmean Nanmedian Nanmin Nanpercentile Nanprod
        Nanquantile Nanstd Nansum Nanvar Ndim Negative Nextafter Nonzero NotEqual OnesLike Outer Pad
        Percentile Power Prod Ptp Quantile Rad2deg Ravel Real Reciprocal Repeat Reshape RightShift
        Roll Rot90 Round SearchSorted Select Sign Signbit Sin Sinc Sinh Size Slogdet Sort Split Sqrt
        Square Squeeze Stack Std Subtract Sum Swapaxes Take TakeAlongAxis Tan Tanh Tensordot Tile
        Trace Transpose Trapezoid Tril Triu TrueDivide Trunc Unique UnravelIndex Vander Var Vdot
        View Vsplit Vstack Where ZerosLike
    """),
}
"""Operations that a Keras 3 model holds as layers; not those that call functions (`Map`, `Scan`,
`Cond`, `WhileLoop`).
"""


PRUNING_SCHEDULE = "pruning schedule"

_PLACES = {
    LAYER: "layer layers forward_layer backward_layer cell cells linear_model dnn_model",
    OPTIMIZER: "optimizer optimizer_config inner_optimizer default_optimizer",
    LEARNING_RATE: "learning_rate",
    LOSS: "loss losses fn",
    METRIC: "metrics weighted_metrics",
    POLICY: "dtype dtype_policy default_policy",
    COLUMN: (
        "feature_columns categorical_column categorical_columns source_column"
        " linear_feature_columns dnn_feature_columns"
    ),
    PRUNING_SCHEDULE: "pruning_schedule",
    FUNCTION: "normalizer_fn",
}
_BY_KEY = {key: kind for kind, keys in _PLACES.items() for key in keys.split()}
_BY_ENDING = {
    "activation": ACTIVATION,
    "initializer": INITIALIZER,
    "regularizer": REGULARIZER,
    "constraint": CONSTRAINT,
}

PATHS = frozenset(
    {
        "vocabulary",
        "vocabulary_file",
        "vocab_file",
        "ckpt_to_load_from",
        "filepath",
        "file_path",
        "filename",
    }
)
"""Keys of Keras's layers for the name of a file that the layer would open."""

LIMITS = {"num_thresholds": 1_000_000, "num_oov_indices": 10_000_000, "ngrams": 1_000}
"""The largest values of keys by which Keras makes lists of that length before it reads weights."""


def kind_at(key: object) -> str | None:
    """Return the kind of object under a config key of a Keras class; None for data and the rest.

    Example:
        >>> [kind_at(key) for key in ("recurrent_activation", "cell", "units")]
        ['activation', 'layer', None]
    """
    if not isinstance(key, str):
        return None
    return _BY_KEY.get(key) or _BY_ENDING.get(key.rsplit("_", 1)[-1])
