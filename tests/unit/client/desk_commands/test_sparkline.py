from darkroom.desk_commands.sparkline import sparkline


def test_a_bar_is_as_high_as_its_share_of_the_largest_count() -> None:
    """None is a dot, any is seen, and the largest fills its line."""
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7, 8]) == "·▁▂▃▄▅▆▇█"
    assert sparkline([0, 1, 1_000_000]) == "·▁█"
    assert sparkline([0, 0]) == "··"
    assert sparkline([]) == ""


def test_the_same_number_of_characters_for_each_day() -> None:
    """24 hours are 24 columns."""
    assert len(sparkline(range(24))) == 24
