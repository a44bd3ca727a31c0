"""What a load promises, and whether it kept it: criteria judged from merged seconds, so that any division gives the
same verdict."""
