import copy

import pytest
import torch
from torch import nn

from fasthash.teachers import EMATeacher


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Dropout(0.5), nn.Linear(5, 3), nn.Tanh())


def train(student, teacher, optimiser, steps):
    """Follow the teacher's outputs on random batches that depend on the step only; the weights after each step."""
    history = []
    for step in steps:
        torch.manual_seed(step)
        x = torch.randn(8, 6)
        loss = (student(x) - teacher(x)).square().mean() + student(x).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        teacher.update(student, step)
        history.append(torch.cat([p.detach().flatten() for p in (*student.parameters(), *teacher.parameters())]))
    return history


def test_worked_sequence():
    student = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(student.weight)
    teacher = EMATeacher(student, decay_max=0.75)
    nn.init.ones_(student.weight)
    values = []
    for step in range(1, 5):
        teacher.update(student, step)
        values.append(teacher.model.weight.item())
    assert values == pytest.approx([0.5, 0.6667, 0.75, 0.8125], abs=5e-5)


def test_is_a_copy_that_never_gets_a_gradient():
    student = network()
    teacher = EMATeacher(student)
    shared = {p.data_ptr() for p in student.parameters()} & {p.data_ptr() for p in teacher.parameters()}
    assert not shared
    train(student, teacher, torch.optim.SGD(student.parameters(), lr=0.1), range(1, 4))
    assert all(p.requires_grad and p.grad is not None for p in student.parameters())
    assert all(not p.requires_grad and p.grad is None for p in teacher.parameters())
    assert not teacher(torch.randn(4, 6, requires_grad=True)).requires_grad


def test_a_copy_of_an_evaluating_student_is_in_train_mode_with_dropout_on():
    teacher = EMATeacher(network().eval())
    assert all(module.training for module in teacher.modules())
    x = torch.randn(64, 6)
    assert not torch.equal(teacher(x), teacher(x))
    teacher.eval()
    assert torch.equal(teacher(x), teacher(x))


def test_batch_norm_statistics_are_its_own():
    student = network()
    teacher = EMATeacher(student)
    student(torch.randn(32, 6) + 5)
    before = {name: buffer.clone() for name, buffer in teacher.named_buffers()}
    teacher.update(student, 1)
    for name, buffer in teacher.named_buffers():
        assert torch.equal(buffer, before[name])
    teacher(torch.randn(32, 6))
    assert teacher.model[1].num_batches_tracked == 1
    assert not torch.equal(teacher.model[1].running_mean, before["model.1.running_mean"])


def start():
    student = network()
    return student, EMATeacher(student), torch.optim.SGD(student.parameters(), lr=0.1, momentum=0.9)


def test_resumes_exactly():
    straight = start()
    expected = train(*straight, range(1, 8))
    stopped = start()
    train(*stopped, range(1, 4))
    resumed = start()
    for old, new in zip(stopped, resumed, strict=True):
        new.load_state_dict(copy.deepcopy(old.state_dict()))
    for a, b in zip(expected[3:], train(*resumed, range(4, 8)), strict=True):
        assert torch.equal(a, b)
    for a, b in zip(straight[1].buffers(), resumed[1].buffers(), strict=True):
        assert torch.equal(a, b)


def test_follows_a_wrapped_student():
    student = network()
    teacher = EMATeacher(student)
    nn.init.zeros_(student[0].weight)
    teacher.update(nn.Sequential(student), 1)
    torch.testing.assert_close(teacher.model[0].weight, network()[0].weight.detach() / 2)


def test_decay_may_be_raised_while_training():
    student = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(student.weight)
    teacher = EMATeacher(student, decay_max=0.0)
    nn.init.ones_(student.weight)
    teacher.update(student, 1000)
    assert teacher.model.weight.item() == 1
    teacher.decay_max = 0.75
    nn.init.zeros_(student.weight)
    teacher.update(student, 1001)
    assert teacher.model.weight.item() == 0.75


def test_errors_name_the_argument():
    student = nn.Linear(2, 3)
    for decay in (-0.1, 1.0):
        with pytest.raises(ValueError, match=rf"decay_max must lie in \[0, 1\), got {decay}"):
            EMATeacher(student, decay_max=decay)
    teacher = EMATeacher(student)
    with pytest.raises(ValueError, match="step must be >= 1"):
        teacher.update(student, 0)
    for other in (nn.Linear(3, 2), nn.Linear(2, 3, bias=False)):
        with pytest.raises(ValueError, match="student must have the 2 parameters"):
            teacher.update(other, 1)
