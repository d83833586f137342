from graphprune.report.sizes import SizeColumn, SizeTable, render_sizes_text


def test_each_row_stands_for_one_measure_and_each_column_for_one_model():
    before = SizeColumn(
        "before", raw=107_100, gzip=97_300, zeros=0, parameters=25_000, accuracy=0.9722
    )
    after = SizeColumn(
        "after", raw=107_100, gzip=25_100, zeros=21_000, parameters=25_000, accuracy=0.9694
    )
    tflite = SizeColumn("tflite", raw=102_000, gzip=24_000)
    assert (
        render_sizes_text(SizeTable((before, after, tflite)))
        == """\
             before            after     tflite
raw size   107.1 kB         107.1 kB   102.0 kB
gzip size   97.3 kB          25.1 kB    24.0 kB
zeros      0 (0.0%)   21,000 (84.0%)
accuracy      97.2%            96.9%
"""
    )


def test_what_nobody_measured_has_no_row():
    assert (
        render_sizes_text(SizeTable((SizeColumn("before", 10, 5),)))
        == "           before\nraw size     10 B\ngzip size     5 B\n"
    )
